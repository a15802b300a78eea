"""Elastic IP addresses as EC2 shows them."""

from typing import Final

from gateway.aws.renderers import View
from gateway.ec2.views.shared import tags_if_any
from protos.cloud.v1 import networks_pb2

POOL: Final = "amazon"  # what EC2 calls the provider's own pool


def address(given: networks_pb2.Address, region: str) -> View:
    return {
        "PublicIp": given.public_ip,
        "AllocationId": given.allocation_id,
        "AssociationId": given.association_id,
        "Domain": "vpc",
        "InstanceId": given.instance_id,
        "NetworkInterfaceId": given.network_interface_id,
        "NetworkInterfaceOwnerId": given.network_interface_owner_id,
        "PrivateIpAddress": given.private_ip_address,
        "PublicIpv4Pool": POOL,
        "NetworkBorderGroup": region,
        "Tags": tags_if_any(given.tags),
    }
