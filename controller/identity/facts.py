"""What is known of a resource that has been read: condition keys of its row and of its tags.

Handed to ``authorize`` as a resource's context. Nothing is read before somebody looks: while no
policy has a condition on a resource, its facts cost no statement.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property

from peewee import Field

from controller.identity.authorize import NOTHING, Context, Lazy, arn
from controller.kernel.columns import BooleanField
from controller.kernel.database import Session
from controller.tables import compute, network, storage
from controller.tables.identity import Tag

_KEY_PAIR, _GROUP = compute.KeyPair, network.SecurityGroup
# noun -> the column of the name that its ARN has, and its condition keys' columns. A pair is a
# reference: the noun whose ARN is the value. Source: Service Authorization Reference, "Condition
# keys for Amazon EC2".
_FACTS: dict[str, tuple[Field, dict[str, Field | tuple[str, Field]]]] = {
    "instance": (
        compute.Instance.instance_id,
        {
            "ec2:InstanceID": compute.Instance.instance_id,
            "ec2:InstanceType": compute.Instance.instance_type,
            "ec2:AvailabilityZone": compute.Instance.availability_zone,
            "ec2:Tenancy": compute.Instance.tenancy,
            "ec2:EbsOptimized": compute.Instance.ebs_optimized,
            "ec2:MetadataHttpEndpoint": compute.Instance.metadata_http_endpoint,
            "ec2:MetadataHttpTokens": compute.Instance.metadata_http_tokens,
            "ec2:MetadataHttpPutResponseHopLimit": compute.Instance.metadata_hop_limit,
            "ec2:InstanceMetadataTags": compute.Instance.metadata_tags,
        },
    ),
    "image": (
        storage.Image.image_id,
        {
            "ec2:ImageID": storage.Image.image_id,
            "ec2:Owner": storage.Image.account_id,
            "ec2:Public": storage.Image.public,
        },
    ),
    "volume": (
        storage.Volume.volume_id,
        {
            "ec2:VolumeID": storage.Volume.volume_id,
            "ec2:AvailabilityZone": storage.Volume.availability_zone,
            "ec2:Encrypted": storage.Volume.encrypted,
            "ec2:VolumeSize": storage.Volume.size_gib,
            "ec2:VolumeType": storage.Volume.volume_type,
            "ec2:VolumeIops": storage.Volume.iops,
            "ec2:VolumeThroughput": storage.Volume.throughput_mibps,
            "ec2:ParentSnapshot": ("snapshot", storage.Volume.snapshot_id),
        },
    ),
    "snapshot": (
        storage.Snapshot.snapshot_id,
        {
            "ec2:SnapshotID": storage.Snapshot.snapshot_id,
            "ec2:Owner": storage.Snapshot.account_id,
            "ec2:VolumeSize": storage.Snapshot.size_gib,
            "ec2:ParentVolume": ("volume", storage.Snapshot.volume_id),
        },
    ),
    "vpc": (
        network.Vpc.vpc_id,
        {"ec2:VpcID": network.Vpc.vpc_id, "ec2:Tenancy": network.Vpc.instance_tenancy},
    ),
    "subnet": (
        network.Subnet.subnet_id,
        {
            "ec2:SubnetID": network.Subnet.subnet_id,
            "ec2:AvailabilityZone": network.Subnet.availability_zone,
            "ec2:Vpc": ("vpc", network.Subnet.vpc_id),
        },
    ),
    "network-interface": (
        network.NetworkInterface.network_interface_id,
        {
            "ec2:NetworkInterfaceID": network.NetworkInterface.network_interface_id,
            "ec2:AvailabilityZone": network.NetworkInterface.availability_zone,
            "ec2:Subnet": ("subnet", network.NetworkInterface.subnet_id),
            "ec2:Vpc": ("vpc", network.NetworkInterface.vpc_id),
        },
    ),
    "security-group": (
        _GROUP.group_id,
        {"ec2:SecurityGroupID": _GROUP.group_id, "ec2:Vpc": ("vpc", _GROUP.vpc_id)},
    ),
    "security-group-rule": (network.SecurityGroupRule.rule_id, {}),
    "key-pair": (
        _KEY_PAIR.key_name,
        {"ec2:KeyPairName": _KEY_PAIR.key_name, "ec2:KeyPairType": _KEY_PAIR.key_type},
    ),
    "elastic-ip": (
        network.PublicAddress.allocation_id,
        {
            "ec2:AllocationId": network.PublicAddress.allocation_id,
            "ec2:PublicIpAddress": network.PublicAddress.public_ip,
        },
    ),
    "route-table": (
        network.RouteTable.route_table_id,
        {
            "ec2:RouteTableID": network.RouteTable.route_table_id,
            "ec2:Vpc": ("vpc", network.RouteTable.vpc_id),
        },
    ),
    "internet-gateway": (
        network.InternetGateway.internet_gateway_id,
        {"ec2:InternetGatewayID": network.InternetGateway.internet_gateway_id},
    ),
    "network-acl": (
        network.NetworkAcl.network_acl_id,
        {
            "ec2:NetworkAclID": network.NetworkAcl.network_acl_id,
            "ec2:Vpc": ("vpc", network.NetworkAcl.vpc_id),
        },
    ),
    "dhcp-options": (
        network.DhcpOptions.dhcp_options_id,
        {"ec2:DhcpOptionsID": network.DhcpOptions.dhcp_options_id},
    ),
}


class Facts:
    """Of some resources of a noun, all read by the first look at any."""

    def __init__(self, session: Session, noun: str, names: Sequence[str], region: str):
        self._session, self._noun, self._names, self._region = session, noun, names, region

    def of(self, name: str) -> Context:
        return Lazy(lambda: self.all.get(name, NOTHING))

    @cached_property
    def all(self) -> Mapping[str, Context]:
        if self._noun not in _FACTS:
            return {}
        named, keys = _FACTS[self._noun]
        owner = self._session.call.account_id
        tagged = _KEY_PAIR.key_pair_id if self._noun == "key-pair" else named
        references = {key: of for key, of in keys.items() if isinstance(of, tuple)}
        columns = [of[1] if isinstance(of, tuple) else of for of in keys.values()]
        names = list(self._names)
        is_it = named.in_(names) | tagged.in_(names)  # a key pair is named by either
        query = named.model.select(named, tagged, *columns).where(is_it)
        if self._noun not in ("image", "snapshot"):
            query = query.where(named.model.account_id == owner)
        rows = self._session.tuples(query)
        tags = self._tags([row[1] for row in rows])
        found: dict[str, Context] = {}
        for row in rows:
            facts = dict(tags[row[1]])
            for key, value in zip(keys, row[2:], strict=True):
                if key in references and value:
                    value = arn("ec2", self._region, owner, references[key][0], value)
                if isinstance(keys[key], BooleanField):
                    value = "true" if value else "false"
                if value not in ("", None):
                    facts[key] = [str(value)]
            found[row[0]] = found[row[1]] = facts
        return found

    def _tags(self, ids: Sequence[str]) -> Mapping[str, Context]:
        found: dict[str, dict[str, list[str]]] = defaultdict(dict)
        query = Tag.select(Tag.resource_id, Tag.key, Tag.value).where(Tag.resource_id.in_(ids))
        for resource_id, key, value in self._session.tuples(query):
            for prefix in ("aws", "ec2"):
                found[resource_id][f"{prefix}:ResourceTag/{key}"] = [value]
        return found
