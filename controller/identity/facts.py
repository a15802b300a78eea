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
from controller.tables import schema
from controller.tables.identity import Tag

_KEY_PAIR, _GROUP = schema.KeyPair, schema.SecurityGroup
# noun -> the column of the name that its ARN has, and its condition keys' columns. A pair is a
# reference: the noun whose ARN is the value. Source: Service Authorization Reference, "Condition
# keys for Amazon EC2".
_FACTS: dict[str, tuple[Field, dict[str, Field | tuple[str, Field]]]] = {
    "instance": (
        schema.Instance.instance_id,
        {
            "ec2:InstanceID": schema.Instance.instance_id,
            "ec2:InstanceType": schema.Instance.instance_type,
            "ec2:AvailabilityZone": schema.Instance.availability_zone,
            "ec2:Tenancy": schema.Instance.tenancy,
            "ec2:EbsOptimized": schema.Instance.ebs_optimized,
            "ec2:MetadataHttpEndpoint": schema.Instance.metadata_http_endpoint,
            "ec2:MetadataHttpTokens": schema.Instance.metadata_http_tokens,
            "ec2:MetadataHttpPutResponseHopLimit": schema.Instance.metadata_hop_limit,
            "ec2:InstanceMetadataTags": schema.Instance.metadata_tags,
        },
    ),
    "image": (
        schema.Image.image_id,
        {
            "ec2:ImageID": schema.Image.image_id,
            "ec2:Owner": schema.Image.account_id,
            "ec2:Public": schema.Image.public,
        },
    ),
    "volume": (
        schema.Volume.volume_id,
        {
            "ec2:VolumeID": schema.Volume.volume_id,
            "ec2:AvailabilityZone": schema.Volume.availability_zone,
            "ec2:Encrypted": schema.Volume.encrypted,
            "ec2:VolumeSize": schema.Volume.size_gib,
            "ec2:VolumeType": schema.Volume.volume_type,
            "ec2:VolumeIops": schema.Volume.iops,
            "ec2:VolumeThroughput": schema.Volume.throughput_mibps,
            "ec2:ParentSnapshot": ("snapshot", schema.Volume.snapshot_id),
        },
    ),
    "snapshot": (
        schema.Snapshot.snapshot_id,
        {
            "ec2:SnapshotID": schema.Snapshot.snapshot_id,
            "ec2:Owner": schema.Snapshot.account_id,
            "ec2:VolumeSize": schema.Snapshot.size_gib,
            "ec2:ParentVolume": ("volume", schema.Snapshot.volume_id),
        },
    ),
    "vpc": (
        schema.Vpc.vpc_id,
        {"ec2:VpcID": schema.Vpc.vpc_id, "ec2:Tenancy": schema.Vpc.instance_tenancy},
    ),
    "subnet": (
        schema.Subnet.subnet_id,
        {
            "ec2:SubnetID": schema.Subnet.subnet_id,
            "ec2:AvailabilityZone": schema.Subnet.availability_zone,
            "ec2:Vpc": ("vpc", schema.Subnet.vpc_id),
        },
    ),
    "network-interface": (
        schema.NetworkInterface.network_interface_id,
        {
            "ec2:NetworkInterfaceID": schema.NetworkInterface.network_interface_id,
            "ec2:AvailabilityZone": schema.NetworkInterface.availability_zone,
            "ec2:Subnet": ("subnet", schema.NetworkInterface.subnet_id),
            "ec2:Vpc": ("vpc", schema.NetworkInterface.vpc_id),
        },
    ),
    "security-group": (
        _GROUP.group_id,
        {"ec2:SecurityGroupID": _GROUP.group_id, "ec2:Vpc": ("vpc", _GROUP.vpc_id)},
    ),
    "security-group-rule": (schema.SecurityGroupRule.rule_id, {}),
    "key-pair": (
        _KEY_PAIR.key_name,
        {"ec2:KeyPairName": _KEY_PAIR.key_name, "ec2:KeyPairType": _KEY_PAIR.key_type},
    ),
    "elastic-ip": (
        schema.PublicAddress.allocation_id,
        {
            "ec2:AllocationId": schema.PublicAddress.allocation_id,
            "ec2:PublicIpAddress": schema.PublicAddress.public_ip,
        },
    ),
    "route-table": (
        schema.RouteTable.route_table_id,
        {
            "ec2:RouteTableID": schema.RouteTable.route_table_id,
            "ec2:Vpc": ("vpc", schema.RouteTable.vpc_id),
        },
    ),
    "internet-gateway": (
        schema.InternetGateway.internet_gateway_id,
        {"ec2:InternetGatewayID": schema.InternetGateway.internet_gateway_id},
    ),
    "network-acl": (
        schema.NetworkAcl.network_acl_id,
        {
            "ec2:NetworkAclID": schema.NetworkAcl.network_acl_id,
            "ec2:Vpc": ("vpc", schema.NetworkAcl.vpc_id),
        },
    ),
    "dhcp-options": (
        schema.DhcpOptions.dhcp_options_id,
        {"ec2:DhcpOptionsID": schema.DhcpOptions.dhcp_options_id},
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
