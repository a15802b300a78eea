"""What the metadata service says to one network interface, as a tree. Pure.

    tree = tree_of(vpc, guest, region=...)          {"meta-data": {"ami-id": "ami-1", ...}, ...}
    find(tree, ["meta-data", "public-keys"])        -> b"0=mykey"
    find(tree, ["meta-data", "absent"])             -> None, a 404

Keys and forms are EC2's ("Instance metadata categories", EC2 user guide); what does not exist here
(IAM roles, spot, hibernation) is absent, as on an instance without it. The same tree is served
under every dated version.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network

from hostagent.network.guests import Guest
from protos.cloud.v1 import fleet_pb2

Tree = Mapping[str, "str | bytes | Tree"]
_Branch = dict[str, str | bytes | Tree]  # one that is being put together

VERSIONS = (
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "2011-01-01",
    "2011-05-01",
    "2012-01-12",
    "2014-02-25",
    "2014-11-05",
    "2015-10-20",
    "2016-04-19",
    "2016-06-30",
    "2016-09-02",
    "2018-03-28",
    "2018-08-17",
    "2018-09-24",
    "2019-10-01",
    "2020-10-27",
    "2021-01-03",
    "2021-03-23",
    "2021-07-15",
    "2022-09-24",
    "2024-04-11",
    "latest",
)
TOP = ("dynamic", "meta-data", "user-data")  # listed also where there are no user data
_MONITORING = {True: "enabled", False: "disabled"}
DOCUMENT_VERSION = "2017-09-30"  # of the instance identity document


def tree_of(vpc: fleet_pb2.VpcSpec, guest: Guest, *, region: str) -> Tree:
    """Everything under a version for the NIC that asks."""
    tree: _Branch = {
        "dynamic": {
            "fws": {"instance-monitoring": _MONITORING[guest.instance.metadata.monitoring]},
            "instance-identity": {"document": _identity_document(guest, region)},
        },
        "meta-data": _meta_data(vpc, guest, region),
    }
    if guest.instance.metadata.user_data:
        tree["user-data"] = guest.instance.metadata.user_data
    return tree


def find(tree: Tree, names: Sequence[str]) -> bytes | None:
    """A leaf's value, or a directory's listing; None where there is neither."""
    if not names:
        return "\n".join(TOP).encode()
    here: str | bytes | Tree = tree
    for name in names:
        if not isinstance(here, Mapping) or name not in here:
            return None
        here = here[name]
    if isinstance(here, Mapping):
        return _listing(here)
    return here if isinstance(here, bytes) else here.encode()


def _listing(directory: Tree) -> bytes:
    """One name a line, directories with a slash; public keys as ``index=name``."""
    if isinstance(directory, _Keys):
        return "\n".join(directory.titles).encode()
    return "\n".join(
        f"{name}/" if isinstance(value, Mapping) else name
        for name, value in sorted(directory.items())
    ).encode()


class _Keys(_Branch):
    """The directory of public keys, which lists their names as well."""

    titles: tuple[str, ...]


def _meta_data(vpc: fleet_pb2.VpcSpec, guest: Guest, region: str) -> _Branch:
    instance, told = guest.instance, guest.instance.metadata
    names = told.security_group_names or guest.nic.security_group_ids
    primary = min(instance.nics, key=lambda nic: nic.device_index)
    data: _Branch = {
        "ami-id": told.image_id,
        "ami-launch-index": str(told.ami_launch_index),
        "ami-manifest-path": "(unknown)",
        "block-device-mapping": _block_devices(instance),
        "events": {
            "maintenance": {"history": "[]", "scheduled": "[]"},
        },
        "hibernation": {"configured": "false"},
        "hostname": told.private_dns_name,
        "instance-action": "none",
        "instance-id": instance.instance_id,
        "instance-life-cycle": "on-demand",
        "instance-type": instance.instance_type,
        "local-hostname": told.private_dns_name,
        "local-ipv4": primary.private_ip_address,
        "mac": primary.mac_address,
        "metrics": {"vhostmd": '<?xml version="1.0" encoding="UTF-8"?>'},
        "network": {
            "interfaces": {
                "macs": {
                    nic.mac_address: _interface(vpc, instance, nic)
                    for nic in instance.nics
                    if nic.vpc_id == vpc.vpc_id
                }
            }
        },
        "placement": {
            "availability-zone": told.availability_zone,
            "availability-zone-id": told.availability_zone_id,
            "region": region,
        },
        "profile": "default-hvm",
        "reservation-id": told.reservation_id,
        "security-groups": "\n".join(names),
        "services": {"domain": "amazonaws.com", "partition": "aws"},
    }
    if primary.public_ip_address:
        data["public-ipv4"] = primary.public_ip_address
    if told.public_dns_name:
        data["public-hostname"] = told.public_dns_name
    if told.public_key:
        keys = _Keys({"0": {"openssh-key": told.public_key.rstrip("\n") + "\n"}})
        keys.titles = (f"0={told.key_name}",)
        data["public-keys"] = keys
    if told.options.instance_metadata_tags == "enabled":
        data["tags"] = {"instance": dict(told.tags)}
    return data


def _interface(
    vpc: fleet_pb2.VpcSpec, instance: fleet_pb2.InstanceSpec, nic: fleet_pb2.NicSpec
) -> _Branch:
    groups = {group.group_id: group.group_name for group in vpc.security_groups}
    blocks = {subnet.subnet_id: subnet.cidr_block for subnet in vpc.subnets}
    primary = nic.device_index == min(other.device_index for other in instance.nics)
    name = instance.metadata.private_dns_name if primary else _private_name(instance, nic)
    data: _Branch = {
        "device-number": str(nic.device_index),
        "interface-id": nic.network_interface_id,
        "local-hostname": name,
        "local-ipv4s": "\n".join((nic.private_ip_address, *nic.secondary_private_ip_addresses)),
        "mac": nic.mac_address,
        "network-card": "0",
        "owner-id": instance.account_id,
        "security-group-ids": "\n".join(nic.security_group_ids),
        "security-groups": "\n".join(groups.get(g) or g for g in nic.security_group_ids),
        "subnet-id": nic.subnet_id,
        "subnet-ipv4-cidr-block": blocks.get(nic.subnet_id, ""),
        "vpc-id": nic.vpc_id,
        "vpc-ipv4-cidr-block": _block_of(vpc, nic.private_ip_address),
        "vpc-ipv4-cidr-blocks": "\n".join(vpc.cidr_blocks),
    }
    if associations := _associations(vpc, nic):
        data["public-ipv4s"] = "\n".join(associations)
        data["ipv4-associations"] = associations
    public_names = {each.private_ip: each.dns_name for each in vpc.public_addresses}
    if public_name := public_names.get(nic.private_ip_address):
        data["public-hostname"] = public_name
    return data


def _associations(vpc: fleet_pb2.VpcSpec, nic: fleet_pb2.NicSpec) -> dict[str, str]:
    """Public address -> private, in the order of the private ones."""
    public = {each.private_ip: each.public_ip for each in vpc.public_addresses}
    if nic.public_ip_address:
        public[nic.private_ip_address] = nic.public_ip_address
    private = (nic.private_ip_address, *nic.secondary_private_ip_addresses)
    return {public[address]: address for address in private if address in public}


def _private_name(instance: fleet_pb2.InstanceSpec, nic: fleet_pb2.NicSpec) -> str:
    """Like the primary interface's name, with this one's address."""
    suffix = instance.metadata.private_dns_name.partition(".")[2]
    return f"ip-{nic.private_ip_address.replace('.', '-')}.{suffix}".rstrip(".")


def _block_of(vpc: fleet_pb2.VpcSpec, address: str) -> str:
    holding = [b for b in vpc.cidr_blocks if IPv4Address(address) in IPv4Network(b)]
    return (holding or list(vpc.cidr_blocks))[0]


def _block_devices(instance: fleet_pb2.InstanceSpec) -> dict[str, str]:
    """``ami`` and ``root`` name the root device, ``ebsN`` (from 1) the other volumes and
    ``ephemeralN`` (from 0) instance-store disks in their order.
    """
    if not instance.disks:
        return {}
    root, *others = instance.disks
    mapping = {"ami": root.device_name, "root": root.device_name}
    volumes = [disk for disk in others if not disk.ephemeral]
    stores = [disk for disk in others if disk.ephemeral]
    for kind, first, disks in (("ebs", 1, volumes), ("ephemeral", 0, stores)):
        for number, disk in enumerate(disks, first):
            mapping[f"{kind}{number}"] = disk.device_name.removeprefix("/dev/")
    return mapping


def _identity_document(guest: Guest, region: str) -> str:
    instance, told = guest.instance, guest.instance.metadata
    launched = datetime.fromtimestamp(told.launch_time_ms // 1000, UTC)
    return json.dumps(
        {
            "accountId": instance.account_id,
            "architecture": instance.architecture,
            "availabilityZone": told.availability_zone,
            "billingProducts": None,
            "devpayProductCodes": None,
            "marketplaceProductCodes": None,
            "imageId": told.image_id,
            "instanceId": instance.instance_id,
            "instanceType": instance.instance_type,
            "kernelId": None,
            "pendingTime": launched.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "privateIp": min(instance.nics, key=lambda n: n.device_index).private_ip_address,
            "ramdiskId": None,
            "region": region,
            "version": DOCUMENT_VERSION,
        },
        indent=2,
        separators=(",", " : "),  # as EC2 prints it: scripts cut values out of its lines
    )
