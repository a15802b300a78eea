"""Reading VPCs, with the filters that EC2 documents for them.

Called by the service (rpc). A filter on what nothing here has (IPv6, Outposts) is known and matches
nothing, as it would in EC2.
"""

from typing import NamedTuple

from controller.identity.pages import owned_page
from controller.kernel.database import Session
from controller.kernel.filters import NOTHING, boolean, column, constant, custom
from controller.network.vpcs.rules import OWNED
from controller.tables.network import Vpc
from protos.cloud.v1 import networks_pb2

ABSENT = custom(lambda values: NOTHING)  # known to EC2; nothing here has it

VPC_FILTERS = {
    "vpc-id": column(Vpc.vpc_id),
    "cidr": column(Vpc.cidr_block),
    "cidrBlock": column(Vpc.cidr_block),
    "cidr-block": column(Vpc.cidr_block),
    "cidr-block-association.cidr-block": column(Vpc.cidr_block),
    "cidr-block-association.association-id": column(Vpc.cidr_association_id),
    "cidr-block-association.state": constant("associated"),
    "dhcp-options-id": column(Vpc.dhcp_options_id),
    "dhcpOptionsId": column(Vpc.dhcp_options_id),
    "is-default": boolean(Vpc.is_default),
    "isDefault": boolean(Vpc.is_default),
    "owner-id": column(Vpc.account_id),
    "state": constant("available"),
    "ipv6-cidr-block-association.ipv6-cidr-block": ABSENT,
    "ipv6-cidr-block-association.ipv6-pool": ABSENT,
    "ipv6-cidr-block-association.association-id": ABSENT,
    "ipv6-cidr-block-association.state": ABSENT,
}


class VpcRow(NamedTuple):
    vpc_id: str
    account_id: str
    cidr_block: str
    cidr_association_id: str
    dhcp_options_id: str
    is_default: bool
    instance_tenancy: str


def describe_vpcs(
    session: Session, account_id: str, request: networks_pb2.DescribeVpcsRequest
) -> networks_pb2.DescribeVpcsResponse:
    asked = request.vpc_ids
    rows, token, tagged = owned_page(
        session, account_id, OWNED, VpcRow, VPC_FILTERS, asked, request
    )
    vpcs = [
        networks_pb2.Vpc(
            vpc_id=row.vpc_id,
            owner_id=row.account_id,
            cidr_block=row.cidr_block,
            cidr_association_id=row.cidr_association_id,
            dhcp_options_id=row.dhcp_options_id,
            state="available",
            is_default=row.is_default,
            instance_tenancy=row.instance_tenancy,
            tags=tagged[row.vpc_id],
        )
        for row in rows
    ]
    return networks_pb2.DescribeVpcsResponse(vpcs=vpcs, next_token=token)
