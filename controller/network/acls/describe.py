"""Reading network ACLs, with EC2's filters for them. Called by the service (rpc).

The rows are made with the VPC (network/vpcs/rules) and its subnets, and say what the hosts do: all
passes. Nothing else makes any yet.
"""

from typing import NamedTuple

from peewee import SQL

from controller.identity.pages import by_owner, owned_page
from controller.kernel.database import Session
from controller.kernel.filters import (
    NOTHING,
    Condition,
    any_of,
    boolean,
    column,
    custom,
    exists_where,
    integer,
)
from controller.kernel.owned import Owned
from controller.kernel.rows import columns
from controller.tables.network import NetworkAcl, NetworkAclAssociation, NetworkAclEntry
from protos.cloud.v1 import networks_pb2

_ONE = SQL("1")
OWNED = Owned(
    "network-acl",
    NetworkAcl.network_acl_id,
    NetworkAcl.account_id,
    facts={
        "ec2:NetworkAclID": NetworkAcl.network_acl_id,
        "ec2:Vpc": ("vpc", NetworkAcl.vpc_id),
    },
)
_ABSENT = custom(lambda values: NOTHING)  # known to EC2; nothing here has it
_ENTRIES = NetworkAclEntry.select(_ONE).where(
    NetworkAclEntry.network_acl_id == NetworkAcl.network_acl_id
)
_ACL_USES = NetworkAclAssociation.select(_ONE).where(
    NetworkAclAssociation.network_acl_id == NetworkAcl.network_acl_id
)
NETWORK_ACL_FILTERS: dict[str, Condition] = {
    "network-acl-id": column(NetworkAcl.network_acl_id),
    "vpc-id": column(NetworkAcl.vpc_id),
    "owner-id": column(NetworkAcl.account_id),
    "default": boolean(NetworkAcl.is_default),
    "association.association-id": any_of(_ACL_USES, NetworkAclAssociation.association_id),
    "association.network-acl-id": any_of(_ACL_USES, NetworkAclAssociation.network_acl_id),
    "association.subnet-id": any_of(_ACL_USES, NetworkAclAssociation.subnet_id),
    "entry.cidr": any_of(_ENTRIES, NetworkAclEntry.cidr_block),
    "entry.egress": exists_where(_ENTRIES, boolean(NetworkAclEntry.egress)),
    "entry.protocol": any_of(_ENTRIES, NetworkAclEntry.protocol),
    "entry.rule-action": any_of(_ENTRIES, NetworkAclEntry.rule_action),
    "entry.rule-number": exists_where(_ENTRIES, integer(NetworkAclEntry.rule_number)),
    "entry.icmp.code": _ABSENT,
    "entry.icmp.type": _ABSENT,
    "entry.ipv6-cidr": _ABSENT,
    "entry.port-range.from": _ABSENT,
    "entry.port-range.to": _ABSENT,
}


class AclRow(NamedTuple):
    network_acl_id: str
    vpc_id: str
    account_id: str
    is_default: bool


class EntryRow(NamedTuple):
    network_acl_id: str
    rule_number: int
    protocol: str
    rule_action: str
    egress: bool
    cidr_block: str


class UseRow(NamedTuple):
    network_acl_id: str
    association_id: str
    subnet_id: str


def describe_network_acls(
    session: Session, account_id: str, request: networks_pb2.DescribeNetworkAclsRequest
) -> networks_pb2.DescribeNetworkAclsResponse:
    rows, token, tagged = owned_page(
        session,
        account_id,
        OWNED,
        AclRow,
        NETWORK_ACL_FILTERS,
        request.network_acl_ids,
        request,
    )
    acl_ids = [row.network_acl_id for row in rows]
    entry, use = NetworkAclEntry, NetworkAclAssociation
    query = entry.select(*columns(EntryRow, entry))
    entries = by_owner(session, query, EntryRow, entry.network_acl_id, acl_ids)
    of_acls = use.select(*columns(UseRow, use))
    uses = by_owner(session, of_acls, UseRow, use.network_acl_id, acl_ids)
    acls = [
        networks_pb2.NetworkAcl(
            network_acl_id=row.network_acl_id,
            vpc_id=row.vpc_id,
            owner_id=row.account_id,
            is_default=row.is_default,
            entries=_entries(entries[row.network_acl_id]),
            associations=[
                networks_pb2.NetworkAclAssociation(
                    association_id=one.association_id, subnet_id=one.subnet_id
                )
                for one in uses[row.network_acl_id]
            ],
            tags=tagged[row.network_acl_id],
        )
        for row in rows
    ]
    return networks_pb2.DescribeNetworkAclsResponse(network_acls=acls, next_token=token)


def _entries(rows: list[EntryRow]) -> list[networks_pb2.NetworkAclEntry]:
    """Egress first, each by number, as EC2 shows them."""
    return [
        networks_pb2.NetworkAclEntry(
            rule_number=entry.rule_number,
            protocol=entry.protocol,
            rule_action=entry.rule_action,
            egress=entry.egress,
            cidr_block=entry.cidr_block,
        )
        for entry in sorted(rows, key=lambda entry: (not entry.egress, entry.rule_number))
    ]
