"""The controller's database is restored from a copy of the day before.

Hosts go on as they were told since. What the copy knows comes to what it says, and can be used as
ever; what it does not know runs on, is seen by the operator, and nothing of it is given to others.
"""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from controller.app import OWNED
from controller.audit import discrepancies
from controller.kernel.sqlite import open_sqlite
from protos.cloud.v1 import hosts_pb2, images_pb2, instances_pb2, networks_pb2, volumes_pb2
from protos.errors import CloudError
from protos.rpc import Caller
from tests.harness.calls.volumes import ZONE
from tests.harness.customers import Call
from tests.harness.populated import populated_cloud

SETTLED_MS = 60_000
LIMIT_MS = 120_000


class Restored:
    """A cloud whose controller has forgotten the last part of its life."""

    def __init__(self, made):
        self.made, self.cloud = made, made.cloud
        self.customer = self.cloud.customers[0]
        self.copy = Path(self.cloud.folder) / "yesterday.db"

    def take_copy(self) -> None:
        of, to = sqlite3.connect(self.cloud.config.database), sqlite3.connect(self.copy)
        with contextlib.closing(of), contextlib.closing(to):
            of.backup(to)

    def restore(self) -> None:
        self.cloud.restore(self.copy)
        self.cloud.run_for(SETTLED_MS)

    def ask(self, service: str, method: str, request, *, operator: bool = False):
        if not self.cloud.is_restored:  # its answers are promises, which are watched
            return self.cloud.ask(self.customer, Call(service, method, request))
        of = self.cloud.operator if operator else self.customer
        client = self.cloud.controller.client(service, "gateway")
        caller = Caller(account_id=of.account_id, principal_arn="arn", operator=operator)
        try:
            return getattr(client, method)(request, caller=caller)
        finally:
            self.cloud.controller.soon_dispatch()

    def until(self, what: str, happened) -> None:
        until = self.cloud.events.now_ms + LIMIT_MS
        while not happened():
            assert self.cloud.events.now_ms < until, f"{what} did not come about"
            self.cloud.run_for(1_000)

    def change(self, method: str, instance_id: str, state: str) -> None:
        kind = "StopInstancesRequest" if method == "Stop" else "InstancesRequest"
        request = getattr(instances_pb2, kind)(instance_ids=[instance_id])
        self.ask("Instances", method, request)
        self.until(state, lambda: self.state(instance_id) == state)

    def instance(self, instance_id: str):
        request = instances_pb2.DescribeInstancesRequest(instance_ids=[instance_id])
        answer = self.ask("Instances", "Describe", request)
        return answer.reservations[0].instances[0]

    def state(self, instance_id: str) -> str:
        return self.instance(instance_id).state

    def run(self, **more):
        request = instances_pb2.RunInstancesRequest(
            image_id=self.customer.image_id, min_count=1, max_count=1, **more
        )
        (made,) = self.ask("Instances", "Run", request).instances
        self.until("running", lambda: self.state(made.instance_id) == "running")
        return self.instance(made.instance_id)

    def volume(self) -> str:
        create = volumes_pb2.CreateVolumeRequest(availability_zone=ZONE, size_gib=1)
        volume_id = self.ask("Volumes", "Create", create).volume_id
        named = volumes_pb2.DescribeVolumesRequest(volume_ids=[volume_id])

        def is_there() -> bool:
            return self.ask("Volumes", "Describe", named).volumes[0].state == "available"

        self.until("the volume", is_there)
        return volume_id

    def snapshot_state(self, snapshot_id: str) -> str:
        request = volumes_pb2.DescribeSnapshotsRequest(snapshot_ids=[snapshot_id])
        return self.ask("Snapshots", "Describe", request).snapshots[0].state

    def image_of(self, instance_id: str) -> None:
        request = images_pb2.CreateImageRequest(instance_id=instance_id, name="since")
        image_id = self.ask("Images", "Create", request).image_id
        named = images_pb2.DescribeImagesRequest(image_ids=[image_id])

        def is_there() -> bool:
            return self.ask("Images", "Describe", named).images[0].state == "available"

        self.until("the image", is_there)

    def stored(self) -> set[str]:
        """Manifests and blocks."""
        return {path.name for path in Path(self.cloud.blocks).rglob("*") if path.is_file()}

    def living(self) -> set[str]:
        return {name for host in self.cloud.hosts for name in host.living()}

    def unknown(self) -> set[str]:
        hosts = self.ask("Hosts", "List", hosts_pb2.ListHostsRequest(), operator=True).hosts
        return {name for host in hosts for name in host.unknown}

    def discrepancies(self) -> list[str]:
        db = open_sqlite(self.cloud.config.database)
        with contextlib.closing(db), db.read() as session:
            return discrepancies(session, OWNED)


@pytest.fixture
def world():
    with populated_cloud() as made:
        yield Restored(made)


def test_what_the_copy_knows_can_be_used_as_ever(world):
    """Started, stopped, rebooted since: what the hosts counted is more than what is in the copy."""
    running, stopped = world.made.running, world.made.stopped
    root = world.instance(running).block_devices[0].volume_id
    take = volumes_pb2.CreateSnapshotRequest(volume_id=root)
    pending = world.ask("Snapshots", "Create", take).snapshot_id
    world.take_copy()
    assert world.snapshot_state(pending) == "pending"
    for method, state in (("Stop", "stopped"), ("Start", "running")) * 3:
        world.change(method, running, state)
    for _ in range(3):
        reboot = instances_pb2.InstancesRequest(instance_ids=[running])
        world.ask("Instances", "Reboot", reboot)
        world.cloud.run_for(15_000)
    world.until("the snapshot", lambda: world.snapshot_state(pending) == "completed")
    world.restore()
    assert (world.state(running), world.state(stopped)) == ("running", "stopped")
    assert running in world.living()
    world.until("the snapshot again", lambda: world.snapshot_state(pending) == "completed")
    world.image_of(running)
    world.cloud.run_for(SETTLED_MS)
    assert world.state(running) == "running"
    world.change("Stop", running, "stopped")
    for one in (running, stopped):
        world.change("Start", one, "running")
    assert not world.unknown()
    assert not world.discrepancies()
    world.change("Terminate", running, "terminated")
    assert running not in world.living()


def test_what_the_copy_does_not_know_runs_on_and_is_seen(world):
    world.take_copy()
    new, volume_id = world.run(), world.volume()
    take = volumes_pb2.CreateSnapshotRequest(volume_id=new.block_devices[0].volume_id)
    snapshot_id = world.ask("Snapshots", "Create", take).snapshot_id
    world.until("the snapshot", lambda: world.snapshot_state(snapshot_id) == "completed")
    world.restore()
    stored = world.stored()
    world.cloud.controller.collect_blocks(kept_s=1)
    assert stored and world.stored() == stored, "what nothing here names may be needed"
    assert new.instance_id in world.living()
    assert world.unknown() == {new.instance_id, volume_id}
    found = world.discrepancies()
    assert sorted(one for one in world.unknown() for line in found if one in line) == sorted(
        world.unknown()
    )
    assert len(found) == 2, "what it takes up counts in its host's"
    allocate = networks_pb2.AllocateAddressRequest(domain="vpc")
    allocated = world.ask("Addresses", "Allocate", allocate).public_ip
    assert allocated != new.public_ip_address, "it would be the next in the pool"
    assert world.run().public_ip_address != new.public_ip_address
    with pytest.raises(CloudError, match="in use"):
        world.run(subnet_id=new.subnet_id, private_ip_address=new.private_ip_address)
    assert new.instance_id in world.living()
