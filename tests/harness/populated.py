"""A quiesced cloud that has something of everything, for tests that break its invariants."""

import contextlib
import random
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from protos.cloud.v1 import (
    common_pb2,
    images_pb2,
    instances_pb2,
    network_interfaces_pb2,
    networks_pb2,
    quotas_pb2,
    tags_pb2,
    volumes_pb2,
)
from tests.harness.calls.volumes import ZONE
from tests.harness.cloud import SimCloud
from tests.harness.guests import Guests
from tests.harness.scenario import Script


@dataclass
class PopulatedCloud:
    """A quiesced cloud, what is in it, and ways to break it that no room has."""

    cloud: SimCloud
    running: str
    stopped: str
    gone: str
    disk: str  # a volume of the first
    snapshot: str  # of it
    restored: str  # a volume of that
    image: str  # of the first, which went off for it
    own_vpc: str
    connected: str  # an instance in it, with an address
    nic: str  # the second one of the first

    def sql(self, statement: str, *values) -> None:
        """Behind the controller's back, without the database's own guards."""
        db = sqlite3.connect(self.cloud.config.database)
        guards = "SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE UNIQUE%'"
        for (name,) in db.execute(guards).fetchall():
            db.execute(f'DROP INDEX "{name}"')
        db.execute(statement, values)
        db.commit()
        db.close()

    @property
    def host(self):
        """Where the running instance is."""
        return next(host for host in self.cloud.hosts if self.running in host.domains())

    @property
    def elsewhere(self):
        return next(host for host in self.cloud.hosts if self.running not in host.domains())

    @property
    def home(self):
        """Where the volume is."""
        return next(host for host in self.cloud.hosts if self.disk in host.volumes.made)

    @property
    def guest(self):
        """The one that runs."""
        return self.host.state.guests[self.running]

    @property
    def vpc(self):
        """The running instance's VPC, as its host made it."""
        spec = self.host.ledger.instances.get(self.running).spec
        return self.host.network.made[spec.nics[0].vpc_id]


@contextlib.contextmanager
def populated_cloud() -> Iterator[PopulatedCloud]:
    """Alice has an instance that runs, one that is stopped and one that is gone; a group that lets
    itself in, on the first; a tag; an own quota. Of volumes one with the first that its guest has
    written to, a snapshot of that, and one that was made of it; and an image of the first. A VPC of
    her own with two subnets, a gateway, a table that leads there, and an instance with an elastic
    address; a second interface of the first instance, with a second address. Bob has an instance
    that runs."""
    with SimCloud(seed=11) as cloud:
        alice, bob = (Script(cloud, customer) for customer in cloud.customers)
        group = networks_pb2.CreateSecurityGroupRequest(group_name="web", description="of a test")
        group_id = alice.ask("SecurityGroups", "Create", group).group_id
        rule = networks_pb2.SecurityGroupRule(protocol="tcp", from_port=80, to_port=80)
        rule.peer_group.group_id = group_id
        selector = networks_pb2.SecurityGroupSelector(group_id=group_id)
        allow = networks_pb2.AuthorizeRequest(group=selector, rules=[rule])
        alice.ask("SecurityGroups", "AuthorizeIngress", allow)
        running, stopped, gone = _launch(alice, 3, group_id)
        _launch(bob, 1)
        cloud.run_for(5_000)
        alice.ask("Instances", "Stop", instances_pb2.StopInstancesRequest(instance_ids=[stopped]))
        alice.ask("Instances", "Terminate", instances_pb2.InstancesRequest(instance_ids=[gone]))
        vpc, connected, nic = _connect(alice, running)
        address = alice.ask("Addresses", "Allocate", networks_pb2.AllocateAddressRequest())
        associate = networks_pb2.AssociateAddressRequest(
            allocation_id=address.allocation_id, instance_id=connected
        )
        alice.ask("Addresses", "Associate", associate)
        tag = common_pb2.Tag(key="Name", value="one")
        alice.ask("Tags", "Create", tags_pb2.CreateTagsRequest(resource_ids=[running], tags=[tag]))
        quota = quotas_pb2.SetQuotaRequest(name="vcpus", limit=50)
        quota.account_id = cloud.customers[0].account_id
        Script(cloud, cloud.operator).ask("Quotas", "Set", quota)
        stored = _store(alice, running)
        cloud.quiesce()
        yield PopulatedCloud(cloud, running, stopped, gone, *stored, vpc, connected, nic)


def _launch(script: Script, count: int, *group_ids: str) -> list[str]:
    request = instances_pb2.RunInstancesRequest(
        image_id=script.cloud.customers[0].image_id,
        instance_type="t2.micro",
        min_count=count,
        max_count=count,
        client_token="launch",
        security_group_ids=group_ids,
    )
    return [one.instance_id for one in script.ask("Instances", "Run", request).instances]


def _connect(script: Script, instance_id: str) -> tuple[str, str, str]:
    vpc = networks_pb2.CreateVpcRequest(cidr_block="10.0.0.0/16")
    vpc_id = script.ask("Networks", "CreateVpc", vpc).vpc_id
    subnet = networks_pb2.CreateSubnetRequest(vpc_id=vpc_id, cidr_block="10.0.1.0/28")
    subnet_id = script.ask("Networks", "CreateSubnet", subnet).subnet_id
    subnet.cidr_block = "10.0.2.0/28"
    script.ask("Networks", "CreateSubnet", subnet)
    gateway = networks_pb2.CreateInternetGatewayRequest()
    gateway_id = script.ask("Networks", "CreateInternetGateway", gateway).internet_gateway_id
    attach = networks_pb2.InternetGatewayInVpc(internet_gateway_id=gateway_id, vpc_id=vpc_id)
    script.ask("Networks", "AttachInternetGateway", attach)
    table = networks_pb2.CreateRouteTableRequest(vpc_id=vpc_id)
    table_id = script.ask("Networks", "CreateRouteTable", table).route_table_id
    route = networks_pb2.RouteRequest(
        route_table_id=table_id, destination_cidr_block="0.0.0.0/0", gateway_id=gateway_id
    )
    script.ask("Networks", "CreateRoute", route)
    use = networks_pb2.AssociateRouteTableRequest(route_table_id=table_id, subnet_id=subnet_id)
    script.ask("Networks", "AssociateRouteTable", use)
    run = instances_pb2.RunInstancesRequest(
        image_id=script.cloud.customers[0].image_id, min_count=1, max_count=1, subnet_id=subnet_id
    )
    connected = script.ask("Instances", "Run", run).instances[0].instance_id
    subnets = networks_pb2.DescribeSubnetsRequest()
    default = next(
        each
        for each in script.ask("Networks", "DescribeSubnets", subnets).subnets
        if each.default_for_az and each.availability_zone == ZONE
    )
    create = network_interfaces_pb2.CreateNetworkInterfaceRequest(
        subnet_id=default.subnet_id, secondary_private_ip_address_count=1
    )
    nic_id = script.ask("NetworkInterfaces", "Create", create).network_interface_id
    plug = network_interfaces_pb2.AttachNetworkInterfaceRequest(
        network_interface_id=nic_id, instance_id=instance_id, device_index=1
    )
    script.ask("NetworkInterfaces", "Attach", plug)
    return vpc_id, connected, nic_id


def _store(script: Script, instance_id: str) -> tuple[str, str, str, str]:
    cloud = script.cloud
    create = volumes_pb2.CreateVolumeRequest(availability_zone=ZONE, client_token="disk")
    create.size_gib = 1
    disk = script.ask("Volumes", "Create", create).volume_id
    cloud.run_for(2_000)
    attach = volumes_pb2.AttachVolumeRequest(
        volume_id=disk, instance_id=instance_id, device="/dev/sdf"
    )
    script.ask("Volumes", "Attach", attach)
    cloud.run_for(2_000)
    guests = Guests(cloud, random.Random(1))
    for _ in range(40):
        guests.step()
    take = volumes_pb2.CreateSnapshotRequest(volume_id=disk)
    snapshot = script.ask("Snapshots", "Create", take).snapshot_id
    cloud.run_for(12_000)
    restore = volumes_pb2.CreateVolumeRequest(availability_zone=ZONE, client_token="restored")
    restore.snapshot_id = snapshot
    restored = script.ask("Volumes", "Create", restore).volume_id
    image = images_pb2.CreateImageRequest(instance_id=instance_id, name="image")
    return disk, snapshot, restored, script.ask("Images", "Create", image).image_id
