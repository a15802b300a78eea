"""Scalars that EC2 writes although they are empty: clients read them without asking."""

from collections.abc import Iterator

from gateway.aws.model import WRITTEN_EMPTY
from protos.cloud.v1 import (
    images_pb2,
    instances_pb2,
    networks_pb2,
    tags_pb2,
    volumes_pb2,
)
from tests.unit.gateway.instance import instance, nic

# Each read with the controller's answer to it: things of which nobody has said what need not be.
READS = {
    "DescribeInstances": (
        "instances.Describe",
        instances_pb2.DescribeInstancesResponse(
            reservations=[instances_pb2.Reservation(instances=[instance()])]
        ),
    ),
    "DescribeNetworkInterfaces": (
        "networks.DescribeNetworkInterfaces",
        networks_pb2.DescribeNetworkInterfacesResponse(network_interfaces=[nic()]),
    ),
    "DescribeVolumes": (
        "volumes.Describe",
        volumes_pb2.DescribeVolumesResponse(volumes=[volumes_pb2.Volume(volume_id="vol-1")]),
    ),
    "DescribeSnapshots": (
        "snapshots.Describe",
        volumes_pb2.DescribeSnapshotsResponse(
            snapshots=[volumes_pb2.Snapshot(snapshot_id="snap-1")]
        ),
    ),
    "DescribeImages": (
        "images.Describe",
        images_pb2.DescribeImagesResponse(images=[images_pb2.Image(image_id="ami-1")]),
    ),
    "DescribeAddresses": (
        "addresses.Describe",
        networks_pb2.DescribeAddressesResponse(
            addresses=[networks_pb2.Address(allocation_id="eipalloc-1")]
        ),
    ),
    "DescribeTags": (
        "tags.Describe",
        tags_pb2.DescribeTagsResponse(tags=[tags_pb2.TagDescription(key="k")]),
    ),
    "GetPasswordData": ("instances.GetPasswordData", instances_pb2.PasswordData()),
}


def test_what_is_written_empty_and_nothing_else(served):
    world, ec2 = served
    calls = {operation: name for name, operation in ec2.meta.method_to_api_mapping.items()}
    seen = set()
    for operation, (rpc, answer) in READS.items():
        service, _, method = rpc.partition(".")
        getattr(world.clients, service).answers[method] = answer
        asked = {"InstanceId": "i-1"} if operation == "GetPasswordData" else {}
        shown = getattr(ec2, calls[operation])(**asked)
        shape = ec2.meta.service_model.operation_model(operation).output_shape
        seen |= set(_empty(shape, shown))
    assert seen == {(shape, member) for _, shape, member in WRITTEN_EMPTY}


def _empty(shape, shown) -> Iterator[tuple[str, str]]:
    """(structure, member) of each empty string in what boto3 read."""
    if shape.type_name == "list":
        for each in shown:
            yield from _empty(shape.member, each)
    elif shape.type_name == "structure":
        for name, value in shown.items():
            if value == "":
                yield shape.name, name
            elif name in shape.members:
                yield from _empty(shape.members[name], value)
