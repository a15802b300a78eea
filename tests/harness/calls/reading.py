"""Calls that only read."""

from protos.cloud.v1 import (
    common_pb2,
    images_pb2,
    instances_pb2,
    networks_pb2,
    tags_pb2,
    volumes_pb2,
)
from tests.harness.customers import Call, Customer
from tests.harness.draw import Draw


def describe(d: Draw, me: Customer) -> Call:
    filters = []
    if d.chance(0.5):
        state = d.one(["running", "pending", "stopped", "stopping", "shutting-down", "terminated"])
        filters.append(common_pb2.Filter(name="instance-state-name", values=[state]))
    request = instances_pb2.DescribeInstancesRequest(filters=filters)
    return Call("Instances", "Describe", request)


def describe_volumes(d: Draw, me: Customer) -> Call:
    return d.one(
        [
            Call("Volumes", "Describe", volumes_pb2.DescribeVolumesRequest()),
            Call("Volumes", "Describe", volumes_pb2.DescribeVolumesRequest()),
            Call("Volumes", "DescribeModifications", volumes_pb2.DescribeVolumesRequest()),
            Call("Snapshots", "Describe", volumes_pb2.DescribeSnapshotsRequest(owners=["self"])),
            Call("Images", "Describe", images_pb2.DescribeImagesRequest(owners=["self"])),
        ]
    )


def look_at_subnets(d: Draw, me: Customer) -> Call:
    return Call("Networks", "DescribeSubnets", networks_pb2.DescribeSubnetsRequest())


def describe_network(d: Draw, me: Customer) -> Call:
    return d.one(
        [
            Call("SecurityGroups", "Describe", networks_pb2.DescribeSecurityGroupsRequest()),
            look_at_subnets(d, me),
            Call("Networks", "DescribeVpcs", networks_pb2.DescribeVpcsRequest()),
            Call("Networks", "DescribeRouteTables", networks_pb2.DescribeRouteTablesRequest()),
            Call("Addresses", "Describe", networks_pb2.DescribeAddressesRequest()),
            Call("Tags", "Describe", tags_pb2.DescribeTagsRequest()),
            Call(
                "Networks",
                "DescribeNetworkInterfaces",
                networks_pb2.DescribeNetworkInterfacesRequest(),
            ),
        ]
    )


ACTIONS = (
    (describe, 6),
    (describe_volumes, 3),
    (describe_network, 4),
)
