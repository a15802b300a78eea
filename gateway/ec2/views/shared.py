"""What most nouns show in the same way: tags, groups, states, times as text."""

from collections.abc import Iterable

from gateway.aws.renderers import View
from protos.cloud.v1 import common_pb2, networks_pb2

# EC2's only instance states and their numbers; clients look at either.
STATE_CODES = {
    "pending": 0,
    "running": 16,
    "shutting-down": 32,
    "terminated": 48,
    "stopping": 64,
    "stopped": 80,
}


def tags(given: Iterable[common_pb2.Tag]) -> list[View]:
    """A tag set that is there even when it is empty.

    So EC2 answers for route tables, internet gateways, DHCP options, network ACLs, network
    interfaces, key pairs and security group rules.
    """
    return [{"Key": tag.key, "Value": tag.value} for tag in given]


def tags_if_any(given: Iterable[common_pb2.Tag]) -> list[View] | None:
    """A tag set that is left out when it is empty, so that boto3's resources say None.

    So EC2 answers for instances, images, VPCs, subnets, security groups, volumes, snapshots and
    addresses.
    """
    return tags(given) or None


def as_created(shown: View, given: Iterable[common_pb2.Tag]) -> View:
    """What a Create answers: in it EC2 shows the tag set also where it is empty.

    amazon.aws reads it without asking (ec2_snapshot). Source: the samples of CreateVolume,
    CreateSnapshot, CreateDefaultVpc, CreateDefaultSubnet and RunInstances in the aws CLI's
    documentation.
    """
    return shown | {"Tags": tags(given)}


def groups(given: Iterable[networks_pb2.GroupIdentifier]) -> list[View]:
    return [{"GroupId": group.group_id, "GroupName": group.group_name} for group in given]


def state(name: str) -> View:
    return {"Code": STATE_CODES[name], "Name": name}


def state_reason(given: common_pb2.StateReason) -> View | None:
    return {"Code": given.code, "Message": given.message} if given.code else None


def arn(region: str, owner: str, kind: str, name: str) -> str:
    return f"arn:aws:ec2:{region}:{owner}:{kind}/{name}"


def token(given: str) -> str | None:
    """A page's token: left out on the last page, as empty ones make clients ask for ever."""
    return given or None
