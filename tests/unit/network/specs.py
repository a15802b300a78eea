"""Specifications as the controller sends them, for the tests of the network driver's pure parts."""

from hostagent.network.config import Names
from hostagent.network.guests import Guest, guests_of
from protos.cloud.v1 import fleet_pb2, instances_pb2

VPC, SUBNET, FAR_SUBNET = f"vpc-{1:017x}", f"subnet-{1:017x}", f"subnet-{2:017x}"
WEB, DB, EMPTY = (f"sg-{number:017x}" for number in (0xA, 0xB, 0xC))
NAMES = Names("pileus")


def vpc(**changes) -> fleet_pb2.VpcSpec:
    """Two subnets, the first with routes, and two groups with a rule of every kind."""
    spec = fleet_pb2.VpcSpec(
        vpc_id=VPC,
        account_id="1" * 12,
        cidr_blocks=["172.31.0.0/16"],
        subnets=[
            fleet_pb2.SubnetSpec(
                subnet_id=SUBNET,
                cidr_block="172.31.0.0/20",
                routes=[
                    route("0.0.0.0/0", internet_gateway=True),
                    route("10.99.0.0/16", private_ip_address="172.31.16.20"),
                ],
            ),
            fleet_pb2.SubnetSpec(subnet_id=FAR_SUBNET, cidr_block="172.31.16.0/20"),
        ],
        security_groups=[
            fleet_pb2.SecurityGroupSpec(
                group_id=WEB,
                group_name="web",
                member_addresses=["172.31.0.10", "172.31.0.99"],
                rules=[
                    rule("-1", egress=True, cidr_ipv4="0.0.0.0/0"),
                    rule("tcp", 22, 22, cidr_ipv4="0.0.0.0/0"),
                    rule("tcp", 8000, 8100, cidr_ipv4="10.1.2.3/8"),
                    rule("udp", 0, 65535, cidr_ipv4="192.0.2.7/32"),
                    rule("icmp", 8, -1, cidr_ipv4="0.0.0.0/0"),
                    rule("icmp", 3, 4, cidr_ipv4="0.0.0.0/0"),
                    rule("icmp", -1, -1, group_id=DB),
                    rule("tcp", 22, 22, cidr_ipv6="::/0"),
                    rule("58", -1, -1, cidr_ipv4="0.0.0.0/0"),
                ],
            ),
            fleet_pb2.SecurityGroupSpec(
                group_id=DB,
                group_name="db",
                member_addresses=["172.31.16.20"],
                rules=[
                    rule("6", 5432, 5432, egress=True, group_id=DB),
                    rule("tcp", 5432, 5432, group_id=WEB),
                    rule("50", cidr_ipv4="0.0.0.0/0"),
                    rule("tcp", 1, 1, group_id=f"sg-{0xDEAD:017x}"),
                ],
            ),
        ],
        public_addresses=[
            public_address("100.64.0.10", "172.31.0.10"),
            public_address("100.64.0.77", "172.31.0.77"),
        ],
    )
    for name, value in changes.items():
        setattr(spec, name, value)
    return spec


def public_address(public_ip: str, private_ip: str) -> fleet_pb2.PublicAddress:
    name = f"ec2-{public_ip.replace('.', '-')}.compute-1.amazonaws.com"
    return fleet_pb2.PublicAddress(public_ip=public_ip, private_ip=private_ip, dns_name=name)


def route(destination: str, **target) -> fleet_pb2.RouteSpec:
    return fleet_pb2.RouteSpec(destination_cidr_block=destination, **target)


def rule(protocol: str, first: int = -1, last: int = -1, **where) -> fleet_pb2.RuleSpec:
    return fleet_pb2.RuleSpec(protocol=protocol, from_port=first, to_port=last, **where)


def nic(number: int, address: str, groups: list[str], **changes) -> fleet_pb2.NicSpec:
    wanted = {
        "network_interface_id": f"eni-{number:017x}",
        "mac_address": f"02:16:3e:00:00:{number:02x}",
        "private_ip_address": address,
        "subnet_id": SUBNET,
        "vpc_id": VPC,
        "security_group_ids": groups,
        "source_dest_check": True,
    }
    return fleet_pb2.NicSpec(**{**wanted, **changes})


def instance(number: int, *nics: fleet_pb2.NicSpec, **told) -> fleet_pb2.InstanceSpec:
    metadata = {
        "image_id": "ami-1",
        "reservation_id": "r-1",
        "ami_launch_index": 3,
        "key_name": "mykey",
        "public_key": "ssh-ed25519 AAAA mykey",
        "user_data": b"#!/bin/sh\n",
        "availability_zone": "us-east-1a",
        "availability_zone_id": "use1-az1",
        "private_dns_name": "ip-172-31-0-10.ec2.internal",
        "public_dns_name": "ec2-100-64-0-10.compute-1.amazonaws.com",
        "security_group_names": ["web", "db"],
        "tags": {"Name": "one", "empty": ""},
        "launch_time_ms": 1_700_000_000_123,
        "options": instances_pb2.MetadataOptions(http_tokens="optional"),
    }
    return fleet_pb2.InstanceSpec(
        instance_id=f"i-{number:017x}",
        account_id="1" * 12,
        instance_type="t2.micro",
        architecture="x86_64",
        nics=nics,
        disks=[
            fleet_pb2.DiskSpec(volume_id="vol-1", device_name="/dev/xvda"),
            fleet_pb2.DiskSpec(volume_id="vol-2", device_name="/dev/sdf"),
        ],
        metadata=fleet_pb2.InstanceMetadata(**{**metadata, **told}),
    )


def instances() -> list[fleet_pb2.InstanceSpec]:
    """A web server with a public and a secondary address, a database elsewhere that may forward."""
    web = nic(
        0x10,
        "172.31.0.10",
        [WEB, EMPTY],
        public_ip_address="100.64.0.10",
        secondary_private_ip_addresses=["172.31.0.11"],
    )
    database = nic(0x20, "172.31.16.20", [DB], subnet_id=FAR_SUBNET, source_dest_check=False)
    return [instance(1, web), instance(2, database)]


def guests() -> list[Guest]:
    return guests_of(vpc(), instances(), NAMES)
