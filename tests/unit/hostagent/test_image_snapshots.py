"""Snapshots of all volumes of an instance, of one moment: under a running guest, or while it is off
in the middle of a reboot; cut anywhere. On fake volumes.
"""

import pytest

from protos.cloud.v1 import fleet_pb2
from protos.cloud.v1.fleet_pb2 import SNAPSHOT_DONE, SNAPSHOT_FAILED, STOPPED, TERMINATED
from protos.manifest import Manifest
from tests.unit.hostagent.rig import Rig, Told, host_spec, instance
from tests.unit.hostagent.stores import MemoryBlocks

VOLUMES = ("vol-i-1", "vol-data")
SNAPSHOTS = ("snap-1", "snap-2")
PAST_MS = 120_000  # every limit of a reboot


def two_disks(revision=1, **fields):
    spec = instance(revision=revision, **fields)
    spec.disks.add(volume_id="vol-data", device_name="/dev/sdf", size_bytes=1 << 30)
    spec.disks[1].delete_on_termination = True
    return spec


def asked(revision=2, *, off=True, cancelled=False):
    return [
        Told(
            fleet_pb2.SnapshotSpec(
                snapshot_id=name,
                volume_id=volume_id,
                group="ami-1",
                group_size=len(SNAPSHOTS),
                off_instance_id="i-1" if off else "",
                cancelled=cancelled,
            ),
            revision,
        )
        for name, volume_id in zip(SNAPSHOTS, VOLUMES, strict=True)
    ]


def word(revision=2, *, off=True, cancelled=False, base=1, **fields):
    """What one transaction of the controller tells the host."""
    fields.setdefault("reboots", 1 if off else 0)
    snapshots = asked(revision, off=off, cancelled=cancelled)
    return host_spec(two_disks(revision, **fields), *snapshots, base=base)


@pytest.fixture
def rig(tmp_path):
    return started(tmp_path)


def started(folder) -> Rig:
    rig = Rig(folder, blocks=MemoryBlocks())
    rig.tell(two_disks())
    rig.pass_ms(1_000)
    write(rig, b"then")
    return rig


def write(rig, data: bytes) -> None:
    for volume_id in VOLUMES:
        rig.volumes.write(volume_id, 0, data)


def seen(rig) -> list[int]:
    records = [rig.ledger.snapshots.get(name) for name in SNAPSHOTS]
    return [record.progress.observed if record else 0 for record in records]


def contents(rig) -> list[bytes]:
    """The first bytes of both, as the store has them."""
    found = []
    for name in SNAPSHOTS:
        manifest = Manifest.decode(rig.blocks.manifests[rig.blocks.of_snapshot[name]])
        ((_, block),) = manifest
        found.append(rig.blocks.blocks["sha256:" + block.hex()][:4])
    return found


def guest(rig):
    return rig.hypervisor.state.guests.get("i-1")


def test_under_a_running_guest_all_are_of_one_moment(rig):
    """Whatever is written between any two steps of theirs is in neither."""
    before = guest(rig)
    rig.checkpoint = lambda name: name.startswith("snapshot: noted") and write(rig, b"late")
    rig.agent.apply(word(off=False))
    rig.run()
    rig.checkpoint = lambda name: None
    assert seen(rig) == [SNAPSHOT_DONE] * 2
    assert contents(rig) == [b"then"] * 2
    assert guest(rig) is before and before.power == "running"


def test_a_guest_is_shut_down_for_them_and_comes_again(rig):
    before, noted = guest(rig), []
    rig.checkpoint = lambda name: name.startswith("worker: noted") and noted.append(rig.observed())
    rig.agent.apply(word())
    rig.run()
    write(rig, b"last")  # the guest writes what it has, and goes
    rig.pass_ms(PAST_MS)
    assert seen(rig) == [SNAPSHOT_DONE] * 2
    assert contents(rig) == [b"last"] * 2
    assert guest(rig) is not before and rig.power() == "running"
    assert set(noted) == {"OBSERVED_RUNNING"}  # as EC2 has it
    progress = rig.ledger.instances.get("i-1").progress
    assert (progress.reboots_done, progress.crashes) == (1, 0)


def test_it_is_off_no_longer_than_it_takes(rig):
    rig.agent.apply(word())
    rig.pass_ms(1_500)
    assert seen(rig) == [SNAPSHOT_DONE] * 2 and rig.power() == "running"


def test_one_that_does_not_listen_is_forced(rig):
    guest(rig).deaf = True
    rig.agent.apply(word())
    rig.pass_ms(rig.limits.reboot_ms - 2_000)
    assert rig.power() == "running" and SNAPSHOT_DONE not in seen(rig)
    rig.pass_ms(PAST_MS)
    assert seen(rig) == [SNAPSHOT_DONE] * 2 and rig.power() == "running"
    assert rig.ledger.instances.get("i-1").progress.crashes == 0


def test_a_snapshot_that_cannot_be_taken_holds_no_guest_off(rig):
    before, rig.volumes.failures = guest(rig), 1.0
    rig.agent.apply(word())
    while SNAPSHOT_FAILED not in seen(rig):
        rig.pass_ms(1_000)
    rig.volumes.failures = 0.0
    rig.pass_ms(PAST_MS)
    assert seen(rig) == [SNAPSHOT_FAILED] * 2
    assert guest(rig) is not before and rig.power() == "running"


def test_what_is_not_wanted_any_more_holds_no_guest_off(rig):
    guest(rig).deaf = True
    rig.agent.apply(word())
    rig.run()
    rig.agent.apply(word(3, cancelled=True, base=2))
    rig.pass_ms(PAST_MS)
    assert rig.power() == "running" and rig.ledger.instances.get("i-1").progress.reboots_done == 1


def test_a_guest_that_stops_is_off_too(rig):
    rig.tell(two_disks(2, desired=STOPPED), base=1)
    rig.agent.apply(word(3, base=2, desired=STOPPED, reboots=0))
    rig.run()
    write(rig, b"last")
    rig.pass_ms(PAST_MS)
    assert seen(rig) == [SNAPSHOT_DONE] * 2 and contents(rig) == [b"last"] * 2
    assert rig.observed() == "OBSERVED_STOPPED"


def test_a_start_waits_for_what_is_asked_of_the_stopped(rig):
    """They come in one message: nothing that the new guest writes is in them."""
    rig.tell(two_disks(2, desired=STOPPED), base=1)
    rig.pass_ms(PAST_MS)
    rig.checkpoint = lambda name: name.startswith("step: done") and write(rig, b"late")
    rig.agent.apply(word(3, base=2, starts=2, reboots=0))
    rig.pass_ms(PAST_MS)
    rig.checkpoint = lambda name: None
    assert contents(rig) == [b"then"] * 2 and rig.observed() == "OBSERVED_RUNNING"


def test_one_that_ends_meanwhile_is_copied_first(rig):
    guest(rig).deaf = True
    rig.agent.apply(word())
    rig.run()
    rig.tell(two_disks(3, desired=TERMINATED), base=2)
    rig.pass_ms(PAST_MS)
    assert seen(rig) == [SNAPSHOT_DONE] * 2 and rig.observed() == "ABSENT"
    assert rig.volumes.made == {}


class Cut(BaseException):
    """The power is gone; no handler outlives it."""


@pytest.mark.parametrize("what", ["agent", "machine"])
@pytest.mark.parametrize("deaf", [False, True])
def test_cut_anywhere_it_comes_out_the_same(tmp_path, what, deaf):
    cut_at, cuts = 0, True
    while cuts:
        cut_at, cuts = cut_at + 1, False
        folder = tmp_path / str(cut_at)
        folder.mkdir()
        rig, passed = started(folder), []
        guest(rig).deaf = deaf

        def checkpoint(name, passed=passed, cut_at=cut_at):
            passed.append(name)
            if len(passed) == cut_at:
                raise Cut

        rig.checkpoint = checkpoint
        try:
            rig.agent.apply(word())
            rig.pass_ms(PAST_MS)
        except Cut:
            cuts = True
        rig.checkpoint = lambda name: None
        recover(rig, what)
        assert seen(rig) == [SNAPSHOT_DONE] * 2, (cut_at, passed)
        assert contents(rig) == [b"then"] * 2, (cut_at, passed)
        assert rig.observed() == "OBSERVED_RUNNING" and rig.power() == "running", (cut_at, passed)
        assert rig.ledger.instances.get("i-1").progress.reboots_done == 1, (cut_at, passed)
        assert [len(rig.volumes.chain(name)) for name in VOLUMES] == [2, 2], (cut_at, passed)
    assert cut_at > 20


def recover(rig: Rig, what: str) -> None:
    """Back again; the controller says what it has said, where that was not kept."""
    if what == "machine":
        rig.power_failure()
    else:
        rig.restart()
    if rig.ledger.position < 2:
        rig.agent.take_in(word())
    rig.pass_ms(2 * PAST_MS)


def test_those_that_a_cut_parted_are_of_a_later_moment_together(rig):
    def part(name):
        if name == "snapshot: freeze snap-1":
            rig.on.manager.freeze("vol-data", 0)
            raise Cut

    rig.checkpoint = part
    with pytest.raises(Cut):
        rig.agent.apply(word(off=False))
        rig.run()
    rig.checkpoint = lambda name: None
    write(rig, b"last")
    recover(rig, "agent")
    assert seen(rig) == [SNAPSHOT_DONE] * 2 and contents(rig) == [b"last"] * 2


def test_what_is_left_of_a_moment_that_is_over_fails(rig):
    """The host has lost its ledger; of two snapshots one is completed, so it is told of the other
    alone."""
    rig.agent.apply(host_spec(*asked(off=False)[1:], base=1))
    rig.pass_ms(1_000)
    assert seen(rig) == [0, SNAPSHOT_FAILED]
    assert "moment is over" in rig.ledger.snapshots.get("snap-2").progress.message


def test_the_whole_truth_said_again_changes_nothing(rig):
    rig.agent.apply(word())
    rig.pass_ms(PAST_MS)
    rig.acknowledge()
    before = guest(rig)
    rig.agent.take_in(host_spec(*asked(), position=2))
    rig.pass_ms(PAST_MS)
    assert guest(rig) is before and rig.ledger.snapshots.all() == {}
