"""Volumes in their own right: told, made, grown, deleted, acknowledged, forgotten."""

import pytest

from hostagent.audit import Audit
from hostagent.kernel.errors import DriverError
from hostagent.storage.volumes.exports import NoExports
from hostagent.storage.volumes.known import images_in_use, kept_volumes
from protos.cloud.v1 import fleet_pb2
from protos.cloud.v1.fleet_pb2 import TERMINATED, VOLUME_DELETED, VOLUME_PRESENT, VolumeSpec
from tests.unit.hostagent.rig import Told, host_spec, instance

MIB = 1 << 20
DIGEST = "sha256:" + "cd" * 32


def volume(name="vol-1", revision=1, desired=VOLUME_PRESENT, size_bytes=4 * MIB, digest=""):
    spec = Told(VolumeSpec(volume_id=name, desired=desired, size_bytes=size_bytes), revision)
    if digest:
        spec.source.image_id, spec.source.digest = "snap-1", digest
        spec.source.disk_format = "blocks"
    return spec


def tell(rig, *volumes, instances=(), position=None):
    return rig.tell(*instances, *volumes, position=position, base=rig.ledger.position)


def observed(rig, name="vol-1"):
    record = rig.ledger.volumes.get(name)
    if record is None:
        return "forgotten"
    return fleet_pb2.ObservedVolume.Name(record.progress.observed)


def said(rig):
    return {
        name: (fleet_pb2.ObservedVolume.Name(one.volume.observed), one.revision)
        for name, one in rig.said("volume").items()
    }


def detached(revision, name="i-1", **fields):
    spec = instance(name, revision, **fields)
    spec.intent_revision = 1
    return spec


def with_disk(spec, volume_id="vol-1", size_bytes=4 * MIB, **fields):
    spec.disks.add(volume_id=volume_id, device_name="/dev/sdf", size_bytes=size_bytes, **fields)
    return spec


def test_made_and_said_until_it_is_acknowledged(rig):
    tell(rig, volume())
    assert rig.agent.has_news()
    assert said(rig) == {"vol-1": ("VOLUME_HERE", 1)}
    assert rig.said("volume")["vol-1"].volume.size_bytes == 4 * MIB
    rig.acknowledge()
    assert said(rig) == {}
    assert not rig.agent.has_news()
    rig.restart()
    assert said(rig) == {"vol-1": ("VOLUME_HERE", 1)}


def test_of_a_snapshots_blocks(rig):
    rig.images.fetch_ms = 5_000
    tell(rig, volume(digest=DIGEST))
    assert said(rig) == {"vol-1": ("VOLUME_MAKING", 0)} or observed(rig) == "VOLUME_MAKING"
    assert not rig.agent.has_news()
    rig.pass_ms(6_000)
    assert observed(rig) == "VOLUME_HERE"
    assert rig.volumes.made["vol-1"].base_format == "raw"
    assert DIGEST in images_in_use(rig.ledger)


def test_grown_and_never_smaller(rig):
    tell(rig, volume())
    tell(rig, volume(revision=2, size_bytes=8 * MIB))
    assert said(rig) == {"vol-1": ("VOLUME_HERE", 2)}
    tell(rig, volume(revision=3, size_bytes=MIB))
    assert rig.said("volume")["vol-1"].volume.size_bytes == 8 * MIB


def test_deleted_and_forgotten_when_acknowledged(rig):
    tell(rig, volume())
    tell(rig, volume(revision=2, desired=VOLUME_DELETED))
    assert said(rig) == {"vol-1": ("VOLUME_GONE", 2)}
    assert rig.is_bare()
    rig.acknowledge()
    assert observed(rig) == "forgotten"
    assert rig.ledger.was_here("vol-1")
    rig.agent.take_in(host_spec(volume(), position=2))
    rig.run()
    assert observed(rig) == "forgotten"  # a late message brings nothing back


def test_the_end_of_one_that_is_unknown_is_answered(rig):
    tell(rig, volume(revision=1, desired=VOLUME_DELETED))
    assert said(rig) == {"vol-1": ("VOLUME_GONE", 1)}


def test_absence_deletes_nothing(rig):
    tell(rig, volume())
    rig.tell(position=2)
    assert observed(rig) == "VOLUME_HERE"
    assert "vol-1" in rig.volumes.made


def test_never_deleted_while_a_guest_has_it(rig):
    spec = with_disk(instance())
    tell(rig, volume(), instances=[spec])
    assert rig.hypervisor.holder("vol-1") == "i-1"
    tell(rig, volume(revision=2, desired=VOLUME_DELETED))
    rig.pass_ms(120_000)
    assert (observed(rig), "vol-1" in rig.volumes.made) == ("VOLUME_HERE", True)
    tell(rig, instances=[detached(3)], position=3)
    rig.pass_ms(60_000)
    assert observed(rig) == "VOLUME_GONE"


def test_failed_after_some_tries_until_it_is_told_anew(tmp_path, rig):
    rig.images.broken.add(DIGEST)
    tell(rig, volume(digest=DIGEST))
    assert said(rig) == {"vol-1": ("VOLUME_FAILED", 1)}
    assert "does not match" in rig.said("volume")["vol-1"].reason.message
    rig.images.broken.clear()
    rig.pass_ms(600_000)
    assert observed(rig) == "VOLUME_FAILED"
    tell(rig, volume(revision=2))
    assert observed(rig) == "VOLUME_HERE"


def test_what_passes_is_tried_again_but_not_for_ever(rig):
    rig.volumes.failures = 1.0
    tell(rig, volume())
    rig.pass_ms(1_000)
    assert observed(rig) == "VOLUME_MAKING"
    rig.volumes.failures = 0.0
    rig.pass_ms(60_000)
    assert observed(rig) == "VOLUME_HERE"
    rig.volumes.failures = 1.0
    tell(rig, volume(revision=2, size_bytes=8 * MIB))
    rig.pass_ms(600_000)
    assert said(rig) == {"vol-1": ("VOLUME_FAILED", 2)}


def test_lost_files_are_never_made_anew(rig):
    tell(rig, volume())
    rig.volumes.made.clear()
    tell(rig, volume(revision=2))
    assert observed(rig) == "VOLUME_FAILED"
    assert rig.volumes.made == {}
    tell(rig, instances=[with_disk(instance(revision=3))])
    rig.pass_ms(60_000)
    assert "files are lost" in rig.ledger.instances.get("i-1").progress.message


def test_one_that_an_instance_let_go_of_is_kept_with_what_it_stands_on(rig):
    spec = instance()
    spec.disks[0].delete_on_termination = False
    extra = with_disk(spec)
    tell(rig, instances=[extra])
    tell(rig, instances=[detached(2)])
    rig.pass_ms(2_000)
    assert said(rig) == {}  # nobody specified it by itself
    assert kept_volumes(rig.ledger) == {"vol-1"}
    assert rig.findings() == []
    root = volume("vol-i-1", revision=3, size_bytes=2 << 30)
    tell(rig, volume(revision=3, size_bytes=8 * MIB), root)
    assert said(rig) == {"vol-1": ("VOLUME_HERE", 3), "vol-i-1": ("VOLUME_HERE", 3)}
    assert rig.ledger.volumes.get("vol-i-1").spec.source.image_id == "ami-1"


def test_what_ends_with_its_instance_is_not_made_again(rig):
    spec = with_disk(instance(), delete_on_termination=True)
    tell(rig, volume(), instances=[spec])
    end = with_disk(instance(revision=2, desired=TERMINATED), delete_on_termination=True)
    tell(rig, instances=[end])
    assert rig.is_bare()
    rig.restart()
    rig.run()
    assert rig.is_bare()
    rig.acknowledge()
    assert (observed(rig), rig.observed()) == ("forgotten", "forgotten")
    assert rig.findings() == []


def served(name="vol-1", hosts=("h-2",), **fields):
    spec = volume(name, **fields)
    spec.served_to_host_ids.extend(hosts)
    return spec


def test_served_to_the_hosts_named_until_it_is_not(rig):
    tell(rig, served())
    assert rig.exports.hosts == {"vol-1": ("h-2",)}
    tell(rig, served(revision=2, hosts=("h-3",), size_bytes=8 * MIB))
    assert rig.exports.hosts == {"vol-1": ("h-3",)}
    assert rig.said("volume")["vol-1"].volume.size_bytes == 8 * MIB
    rig.exports.withdraw("vol-1")  # its server died
    rig.pass_ms(6_000)
    assert rig.exports.hosts == {"vol-1": ("h-3",)}
    rig.exports.withdraw("vol-1")
    rig.restart()
    rig.run()
    assert rig.exports.hosts == {"vol-1": ("h-3",)}
    tell(rig, volume(revision=3))
    assert rig.exports.hosts == {}
    assert observed(rig) == "VOLUME_HERE"


def test_frozen_and_committed_while_it_is_served(rig):
    tell(rig, served())
    manager = rig.on.manager
    for number in range(2):
        manager.freeze("vol-1", number)
    assert manager.top("vol-1").number == 2
    manager.commit("vol-1", 1)
    assert [layer.number for layer in rig.volumes.chain("vol-1")] == [0, 2]
    with pytest.raises(DriverError, match="open in"):
        manager.remove("vol-1")
    tell(rig, volume(revision=2, desired=VOLUME_DELETED))
    assert (observed(rig), rig.exports.hosts) == ("VOLUME_GONE", {})


def test_not_served_while_a_guest_here_has_it(rig):
    tell(rig, volume(), instances=[with_disk(instance())])
    tell(rig, served(revision=2))
    rig.pass_ms(2_000)
    assert rig.exports.hosts == {}
    tell(rig, instances=[detached(3)], position=3)
    rig.pass_ms(20_000)
    assert rig.exports.hosts == {"vol-1": ("h-2",)}


def test_a_host_that_serves_nothing_says_that_it_cannot(rig):
    rig.exports = NoExports()
    rig.restart()
    tell(rig, served())
    assert said(rig) == {"vol-1": ("VOLUME_FAILED", 1)}
    assert "not configured to serve" in rig.said("volume")["vol-1"].reason.message


def test_what_is_served_and_forgotten_is_withdrawn(rig):
    tell(rig, volume())
    tell(rig, volume(revision=2, desired=VOLUME_DELETED))
    rig.acknowledge()
    stray = fleet_pb2.DiskSpec(volume_id="vol-1", size_bytes=MIB)
    rig.exports.serve(rig.volumes.ensure(stray, None), ["h-2"])
    Audit(rig.ledger, rig.on).tidy()
    Audit(rig.ledger, rig.on).tidy()
    assert (rig.exports.hosts, rig.volumes.made) == ({}, {})


@pytest.mark.parametrize("desired", [0, 9])
def test_told_to_be_nothing_is_not_taken_in(rig, desired):
    tell(rig, volume(desired=desired))
    assert observed(rig) == "forgotten"


class Cut(BaseException):
    """The power is gone."""


def test_cut_at_every_point_it_is_made_grown_and_deleted(tmp_path):
    from tests.unit.hostagent.rig import Rig

    lives = [
        volume(),
        volume(revision=2, size_bytes=8 * MIB),
        volume(revision=3, desired=VOLUME_DELETED),
    ]
    for point in range(1, 60):
        left = [point]

        def checkpoint(name, left=left):
            left[0] -= 1
            if not left[0]:
                raise Cut(name)

        rig = Rig(tmp_path, checkpoint=lambda name: None)
        rig.checkpoint = checkpoint
        told = 0
        try:
            for told, spec in enumerate(lives, 1):  # noqa: B007
                tell(rig, spec)
                rig.pass_ms(100)
        except Cut:
            pass
        rig.checkpoint = lambda name: None
        rig.restart()
        rig.pass_ms(1_000)
        if rig.ledger.position < told:
            tell(rig, lives[told - 1])
        rig.pass_ms(60_000)
        expected = {1: "VOLUME_HERE", 2: "VOLUME_HERE", 3: "VOLUME_GONE"}[told]
        assert observed(rig) == expected, f"cut at checkpoint {point}"
        assert set(rig.volumes.made) == (set() if told == 3 else {"vol-1"})
        if left[0] > 0:
            return
    raise AssertionError("there are more points")


def test_a_missing_volume_cannot_be_found(rig):
    with pytest.raises(DriverError, match="not on this host"):
        rig.on.manager.find(fleet_pb2.DiskSpec(volume_id="vol-9"))
