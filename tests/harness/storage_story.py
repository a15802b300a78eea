"""A second fixed story for the crash tests: what a customer does with disks, once.

    play(cloud) -> StorageEnd     the same whatever was cut meanwhile

A volume is made, attached and written to, snapshotted while its guest goes on writing, grown,
restored, detached and deleted; the snapshot goes before what was made of it. What the disks hold is
the invariants' affair.
"""

import random
from dataclasses import dataclass

from protos.cloud.v1 import instances_pb2, volumes_pb2
from protos.errors import CloudError, Kind
from tests.harness.calls.volumes import ZONE
from tests.harness.cloud import SimCloud
from tests.harness.customers import Call
from tests.harness.guests import Guests
from tests.harness.scenario import LOOK_MS, Script


@dataclass(frozen=True)
class StorageEnd:
    """What the customer has at the end, by her own eyes, without ids."""

    volumes: tuple[tuple[int, str, str], ...]  # GiB, state, device
    snapshots: int


def play(cloud: SimCloud) -> StorageEnd:
    """The story, to its end, until the cloud is quiesced."""
    script, guests = Script(cloud, cloud.customers[0]), Guests(cloud, random.Random(1))
    run = instances_pb2.RunInstancesRequest(
        image_id=cloud.customers[0].image_id, min_count=1, max_count=1, client_token="the-story"
    )
    instance_id = script.ask("Instances", "Run", run).instances[0].instance_id
    script.wait_for_states("running")
    disk = _create(script, "disk", size_gib=1)
    _attach(script, disk, instance_id, "/dev/sdf")
    _write(guests)
    snapshot_id = _take(script, disk)
    _write(guests)
    script.wait_for("the snapshot", lambda: _snapshots(script)[0].state == "completed")
    grow = volumes_pb2.ModifyVolumeRequest(volume_id=disk, size_gib=2)
    script.ask("Volumes", "Modify", grow, done=(Kind.WRONG_STATE,))
    restored = _create(script, "restored", snapshot_id=snapshot_id)
    _attach(script, restored, instance_id, "/dev/sdg")
    snapshot = volumes_pb2.SnapshotRequest(snapshot_id=snapshot_id)
    script.ask("Snapshots", "Delete", snapshot, done=(Kind.NOT_FOUND,))
    _write(guests)
    detach = volumes_pb2.DetachVolumeRequest(volume_id=disk)
    script.ask("Volumes", "Detach", detach, done=(Kind.WRONG_STATE,))
    _wait(script, disk, "available")
    delete = volumes_pb2.VolumeRequest(volume_id=disk)
    script.ask("Volumes", "Delete", delete, done=(Kind.NOT_FOUND,))
    cloud.quiesce()
    volumes = _volumes(script).values()
    return StorageEnd(tuple(sorted(map(_seen, volumes))), len(_snapshots(script)))


def _seen(volume: volumes_pb2.Volume) -> tuple[int, str, str]:
    devices = [f"{at.device} {at.state}" for at in volume.attachments]
    return volume.size_gib, volume.state, ", ".join(devices)


def _create(script: Script, token: str, **asked) -> str:
    request = volumes_pb2.CreateVolumeRequest(availability_zone=ZONE, client_token=token, **asked)
    volume_id = script.ask("Volumes", "Create", request).volume_id
    _wait(script, volume_id, "available")
    return volume_id


def _attach(script: Script, volume_id: str, instance_id: str, device: str) -> None:
    request = volumes_pb2.AttachVolumeRequest(
        volume_id=volume_id, instance_id=instance_id, device=device
    )
    script.ask("Volumes", "Attach", request, done=(Kind.WRONG_STATE,))
    script.wait_for(
        f"the attachment of {device}",
        lambda: [at.state for at in _volumes(script)[volume_id].attachments] == ["attached"],
    )


def _take(script: Script, volume_id: str) -> str:
    """CreateSnapshot has no token: who is not answered looks before she asks again."""
    while True:
        if taken := _snapshots(script):
            return taken[0].snapshot_id
        request = volumes_pb2.CreateSnapshotRequest(volume_id=volume_id)
        try:
            call = Call("Snapshots", "Create", request)
            return script.cloud.ask(script.cloud.customers[0], call).snapshot_id
        except CloudError as refusal:
            if refusal.kind is not Kind.UNAVAILABLE:
                raise
            script.cloud.run_for(LOOK_MS)


def _write(guests: Guests) -> None:
    for _ in range(12):
        guests.step()


def _wait(script: Script, volume_id: str, state: str) -> None:
    script.wait_for(
        f"{volume_id} {state}",
        lambda: volume_id in _volumes(script) and _volumes(script)[volume_id].state == state,
    )


def _volumes(script: Script) -> dict[str, volumes_pb2.Volume]:
    answer = script.ask("Volumes", "Describe", volumes_pb2.DescribeVolumesRequest())
    return {volume.volume_id: volume for volume in answer.volumes}


def _snapshots(script: Script) -> list[volumes_pb2.Snapshot]:
    request = volumes_pb2.DescribeSnapshotsRequest(owners=["self"])
    return list(script.ask("Snapshots", "Describe", request).snapshots)
