"""Snapshots on a host: from the specification to the end, cut anywhere; on fake volumes."""

from concurrent.futures import Executor, Future

import pytest

from hostagent.compute.hypervisors.fake_guests import Faults
from hostagent.kernel.errors import DriverError
from hostagent.storage.blocks import Away
from protos.cloud.v1.fleet_pb2 import (
    SNAPSHOT_COPYING,
    SNAPSHOT_DONE,
    SNAPSHOT_FAILED,
    SNAPSHOT_GONE,
    SNAPSHOT_UNSEEN,
    STOPPED,
    TERMINATED,
    SnapshotSpec,
)
from protos.manifest import BLOCK_BYTES, Manifest
from tests.unit.hostagent.rig import Rig, Told, host_spec, instance
from tests.unit.hostagent.stores import MemoryBlocks

VOLUME = "vol-i-1"


@pytest.fixture
def rig(tmp_path):
    rig = Rig(tmp_path, blocks=MemoryBlocks())
    rig.tell(instance())
    return rig


def take(rig, name="snap-1", revision=2, cancelled=False, volume_id=VOLUME):
    spec = SnapshotSpec(snapshot_id=name, volume_id=volume_id, cancelled=cancelled)
    known = rig.ledger.position
    told = host_spec(Told(spec, revision), position=max(revision, known), base=known, vpcs=())
    rig.agent.apply(told)


def progress(rig, name="snap-1"):
    record = rig.ledger.snapshots.get(name)
    return record.progress if record else None


def first_bytes(rig, name="snap-1") -> bytes:
    """Of the blocks that the snapshot names."""
    digest = rig.blocks.of_snapshot[name]
    manifest = Manifest.decode(rig.blocks.manifests[digest])
    hashes = [block for _, block in manifest]
    return b"".join(rig.blocks.blocks["sha256:" + one.hex()][:4] for one in hashes)


def layers(rig) -> int:
    return len(rig.volumes.chain(VOLUME))


def test_from_specification_to_end(rig):
    rig.volumes.write(VOLUME, 0, b"then")
    take(rig)
    rig.run()
    done = progress(rig)
    assert (done.observed, done.progress, done.revision) == (SNAPSHOT_DONE, 100, 2)
    assert done.digest == rig.blocks.of_snapshot["snap-1"]
    assert done.size_bytes == done.added_bytes == BLOCK_BYTES
    assert rig.agent.has_news()
    rig.volumes.write(VOLUME, 0, b"now!")
    assert first_bytes(rig) == b"then"
    rig.acknowledge()
    assert progress(rig) is None and layers(rig) == 2


def test_the_second_sends_what_changed_and_layers_stay_few(rig):
    for number in range(1, 5):
        rig.volumes.write(VOLUME, number * BLOCK_BYTES, b"%04d" % number)
        take(rig, f"snap-{number}", revision=1 + number)
        rig.pass_ms(1_000)
        assert progress(rig, f"snap-{number}").added_bytes == BLOCK_BYTES
        assert layers(rig) == 2
        rig.acknowledge()
    assert first_bytes(rig, "snap-4") == b"0001000200030004"
    assert rig.blocks.sent == 4


def test_after_a_cancelled_one_nothing_is_missed(rig):
    """What a snapshot that never was has frozen is in no manifest: it is read by the next one."""
    rig.volumes.write(VOLUME, 0, b"one.")
    take(rig, "snap-1", 2)
    rig.run()
    rig.volumes.write(VOLUME, BLOCK_BYTES, b"two.")
    rig.blocks.before = away
    take(rig, "snap-2", 3)
    rig.run()
    take(rig, "snap-2", 4, cancelled=True)
    rig.pass_ms(10_000)
    assert progress(rig, "snap-2").observed == SNAPSHOT_GONE and layers(rig) == 2
    rig.blocks.before = lambda verb: None
    take(rig, "snap-3", 5)
    rig.pass_ms(1_000)
    assert first_bytes(rig, "snap-3") == b"one.two."
    rig.acknowledge()
    assert rig.ledger.snapshots.all() == {}


def away(verb):
    raise Away("the controller is away")


def test_while_the_controller_is_away_it_waits(rig):
    rig.volumes.write(VOLUME, 0, b"then")
    rig.blocks.before = away
    take(rig)
    rig.run()
    rig.volumes.write(VOLUME, 0, b"now!")
    rig.pass_ms(3_600_000)
    assert progress(rig).observed == SNAPSHOT_COPYING
    rig.blocks.before = lambda verb: None
    rig.pass_ms(10_000)
    assert progress(rig).observed == SNAPSHOT_DONE and first_bytes(rig) == b"then"


def test_what_cannot_be_copied_fails_and_leaves_no_layers(rig):
    def broken(verb):
        raise DriverError("the disk is broken")

    rig.volumes.write(VOLUME, 0, b"then")
    rig.blocks.before = broken
    take(rig)
    rig.pass_ms(600_000)
    assert progress(rig).observed == SNAPSHOT_FAILED
    assert "broken" in progress(rig).message
    assert layers(rig) == 2
    rig.acknowledge()
    assert progress(rig) is None


def test_a_commit_that_fails_is_counted_and_tried_after_ever_longer_pauses(rig):
    take(rig)
    rig.run()
    rig.hypervisor.faults = Faults(commit_fails=1.0)
    take(rig, "snap-2", revision=3)
    rig.pass_ms(60_000)
    assert 4 <= progress(rig, "snap-2").attempts <= 7
    assert layers(rig) == 3
    rig.hypervisor.faults = Faults()
    rig.pass_ms(60_000)
    assert (progress(rig, "snap-2").attempts, layers(rig)) == (0, 2)


def test_one_of_a_volume_that_is_not_here_fails(rig):
    take(rig, volume_id="vol-00000099")
    rig.run()
    assert progress(rig).observed == SNAPSHOT_FAILED


def test_one_of_a_volume_that_nobody_came_to_make_is_of_its_beginning(tmp_path):
    rig = Rig(tmp_path, blocks=MemoryBlocks())
    rig.tell(instance(desired=STOPPED))
    assert not layers(rig)
    take(rig)
    rig.run()
    assert progress(rig).observed == SNAPSHOT_DONE


def test_an_instance_that_ends_before_its_disk_was_made_waits_for_no_copy(tmp_path):
    rig = Rig(tmp_path, blocks=MemoryBlocks())
    rig.images.fetch_ms = 60_000
    rig.tell(instance())
    take(rig)
    rig.run()
    assert progress(rig).observed == SNAPSHOT_UNSEEN
    rig.tell(instance(revision=3, desired=TERMINATED), base=2)
    rig.pass_ms(10_000)
    assert progress(rig).observed == SNAPSHOT_FAILED
    assert rig.observed() == "ABSENT"


def test_a_cancelled_one_that_was_never_heard_of_is_gone(rig):
    take(rig, cancelled=True)
    rig.run()
    assert progress(rig).observed == SNAPSHOT_GONE
    rig.acknowledge()
    assert progress(rig) is None


def test_several_of_one_volume_at_once(rig):
    rig.blocks.before = away
    for number in range(1, 4):
        rig.volumes.write(VOLUME, 0, b"%04d" % number)
        take(rig, f"snap-{number}", revision=1 + number)
        rig.run()
    assert layers(rig) == 4
    rig.blocks.before = lambda verb: None
    rig.pass_ms(60_000)
    assert [first_bytes(rig, f"snap-{number}") for number in range(1, 4)] == [
        b"0001",
        b"0002",
        b"0003",
    ]
    assert layers(rig) == 2


def test_an_instance_that_ends_waits_for_its_disks_copy(rig):
    rig.volumes.write(VOLUME, 0, b"then")
    rig.blocks.before = away
    take(rig)
    rig.run()
    rig.tell(instance(revision=3, desired=TERMINATED), base=2)
    rig.pass_ms(60_000)
    assert VOLUME in rig.volumes.made
    rig.blocks.before = lambda verb: None
    rig.pass_ms(120_000)
    assert progress(rig).observed == SNAPSHOT_DONE and first_bytes(rig) == b"then"
    assert rig.volumes.made == {} and rig.observed() == "ABSENT"
    rig.acknowledge()
    assert progress(rig) is None


def test_a_late_word_does_not_bring_it_back(rig):
    take(rig, revision=2)
    rig.run()
    rig.acknowledge()
    take(rig, revision=2)
    rig.run()
    assert progress(rig) is None


class Cut(BaseException):
    pass


def test_killed_anywhere_it_is_of_one_moment_and_ends(tmp_path):
    """At every checkpoint in turn: what was written after the freezing is never in it, what was
    written before the word came always is."""
    cut_at, cuts = 0, True
    while cuts:
        cut_at, seen, cuts = cut_at + 1, [], False
        folder = tmp_path / str(cut_at)
        folder.mkdir()
        rig = Rig(folder, blocks=MemoryBlocks())
        rig.tell(instance())
        rig.volumes.write(VOLUME, 0, b"then")

        def checkpoint(name, seen=seen, cut_at=cut_at):
            seen.append(name)
            if len(seen) == cut_at:
                raise Cut

        rig.checkpoint = checkpoint
        try:
            take(rig)
            rig.run()
        except Cut:
            cuts = True
        rig.checkpoint = lambda name: None
        frozen = rig.volumes.chain(VOLUME)[-1].number > 0
        rig.volumes.write(VOLUME, BLOCK_BYTES, b"late")
        rig.restart()
        take(rig)  # the controller says it until it is acknowledged
        rig.pass_ms(60_000)
        expected = b"then" if frozen else b"thenlate"
        assert progress(rig).observed == SNAPSHOT_DONE, (cut_at, seen)
        assert first_bytes(rig) == expected, (cut_at, seen)
        assert layers(rig) == 2, (cut_at, seen)
        rig.acknowledge()
        assert progress(rig) is None
    assert cut_at > 10


class Deferred(Executor):
    """Runs what was submitted when the test says so, as another thread would."""

    def __init__(self):
        self.waiting = []

    def submit(self, call, *args):
        self.waiting.append((call, args))
        return Future()

    def run(self):
        while self.waiting:
            call, args = self.waiting.pop(0)
            call(*args)


def test_a_copy_that_gets_on_has_all_its_tries_again(tmp_path):
    """It fails at every second block, more often than it may fail at one and the same."""
    rig = Rig(tmp_path, blocks=MemoryBlocks(), copiers=Deferred())
    rig.tell(instance())
    for number in range(20):
        rig.volumes.write(VOLUME, 2 * number * BLOCK_BYTES, b"%04d" % number)
    stored = []

    def before(verb):
        if verb == "store":
            stored.append(verb)
            rig.pass_ms(1_000)  # the agent looks how far it is
            if len(stored) % 2 == 0 and len(stored) < 2 * rig.limits.volume_attempts + 8:
                raise DriverError("the disk is slow")

    rig.blocks.before = before
    take(rig)
    for _ in range(40):
        rig.copiers.run()
        rig.pass_ms(rig.limits.backoff_most_ms)
    assert progress(rig).observed == SNAPSHOT_DONE
