"""Where a launch's interface may be, or one made by itself: its subnet and its groups.

Called by compute/launch/interfaces and network/interfaces/attributes inside their transactions,
whose statements are counted: ``find_launch_network`` is one. What makes the interface is
network/interfaces/create.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from peewee import JOIN

from controller.kernel.database import Session
from controller.kernel.lookup import check_ids, check_there, not_found
from controller.kernel.prepared import among, prepared
from controller.kernel.table import Clause, Column, Select
from controller.tables.network import SecurityGroup, Subnet, Vpc
from protos.errors import CloudError, Kind

GROUPS_PER_INTERFACE_MAX = 5
# Whether a VPC gives its public addresses names (EC2 User Guide, "DNS attributes for your VPC").
DNS_HOSTNAMES = (Vpc.enable_dns_support & Vpc.enable_dns_hostnames).alias("dns_hostnames")


class GroupRow(NamedTuple):
    group_id: str
    group_name: str
    group_vpc_id: str


class SubnetRow(NamedTuple):
    """A subnet with one of the groups asked for, or None."""

    subnet_id: str
    vpc_id: str
    cidr_block: str
    availability_zone: str
    map_public_ip_on_launch: bool
    is_default: bool
    dns_hostnames: bool
    group_id: str | None
    group_name: str | None
    group_vpc_id: str | None


@dataclass(frozen=True)
class LaunchSubnet:
    subnet_id: str
    cidr_block: str
    availability_zone: str
    map_public_ip_on_launch: bool


@dataclass(frozen=True)
class LaunchNetwork:
    """``subnets``: one where the caller named one or a zone, else the default one of each zone."""

    vpc_id: str
    subnets: tuple[LaunchSubnet, ...]
    groups: Mapping[str, str]  # id → name, in the order asked for
    dns_hostnames: bool = True

    def subnet_in(self, zone: str) -> LaunchSubnet:
        return next(one for one in self.subnets if one.availability_zone == zone)


def find_launch_network(
    session: Session,
    account_id: str,
    *,
    subnet_id: str = "",
    availability_zone: str = "",
    group_ids: Sequence[str] = (),
    group_names: Sequence[str] = (),
) -> LaunchNetwork:
    """Where a launch may go. No groups asked for: the VPC's default group.

    Raises INVALID, MALFORMED_ID, NOT_FOUND (subnet, security-group; subnet "no-default"), QUOTA.
    """
    asked = _asked_groups(group_ids, group_names, default=True)
    rows = _find_subnets(session, account_id, subnet_id, availability_zone, asked)
    subnets = list({row.subnet_id: row for row in rows}.values())  # a row for each group
    first = subnets[0]
    if group_names and subnet_id and not first.is_default:
        raise CloudError(
            Kind.INVALID,
            "The parameter groupName cannot be used with the parameter subnet",
            reason="parameter-combination",
        )
    found = [
        GroupRow(row.group_id, row.group_name or "", row.group_vpc_id or "")
        for row in rows
        if row.subnet_id == first.subnet_id and row.group_id is not None
    ]
    groups = _choose_groups(found, first.vpc_id, asked)
    return LaunchNetwork(
        first.vpc_id,
        tuple(
            LaunchSubnet(
                row.subnet_id, row.cidr_block, row.availability_zone, row.map_public_ip_on_launch
            )
            for row in subnets
        ),
        groups,
        bool(first.dns_hostnames),
    )


def resolve_groups(
    session: Session,
    account_id: str,
    vpc_id: str,
    group_ids: Sequence[str],
    group_names: Sequence[str] = (),
    *,
    default: bool = False,
) -> dict[str, str]:
    """id → name of the groups for an interface in a VPC, in the order asked for: one statement.

    Raises MALFORMED_ID, NOT_FOUND, INVALID (another VPC's), QUOTA (more than five), DENIED.
    """
    asked = _asked_groups(group_ids, group_names, default)
    group = SecurityGroup
    query = group.select(group.group_id, group.group_name, group.vpc_id.alias("group_vpc_id"))
    found = session.rows(query.where(_is_asked(account_id, vpc_id, *asked)), GroupRow)
    chosen = _choose_groups(found, vpc_id, asked)
    session.authorize("security-group", list(chosen))
    return chosen


def _asked_groups(
    group_ids: Sequence[str], group_names: Sequence[str], default: bool
) -> tuple[list[str], list[str]]:
    check_ids("security-group", group_ids)
    if len(group_ids) + len(group_names) > GROUPS_PER_INTERFACE_MAX:
        raise CloudError(
            Kind.QUOTA,
            "The maximum number of security groups per interface has been reached.",
            noun="groups-per-interface",
        )
    if not group_ids and not group_names and default:
        return [], ["default"]
    return list(group_ids), list(group_names)


def _is_asked(
    account_id: str, vpc_id: str | Column, group_ids: Sequence[str], group_names: Sequence[str]
) -> Clause:
    """The groups asked for by id, of any VPC (to say so), and by name, of this one."""
    named = (SecurityGroup.vpc_id == vpc_id) & among(SecurityGroup.group_name, group_names)
    is_own = SecurityGroup.account_id == account_id
    return is_own & (among(SecurityGroup.group_id, group_ids) | named)


def _choose_groups(
    found: Sequence[GroupRow], vpc_id: str, asked: tuple[list[str], list[str]]
) -> dict[str, str]:
    by_id = {row.group_id: row for row in found}
    by_name = {row.group_name: row for row in found if row.group_vpc_id == vpc_id}
    chosen: dict[str, str] = {}
    for wanted, rows in zip(asked, (by_id, by_name), strict=True):
        check_there("security-group", wanted, rows)
        for one in wanted:
            if rows[one].group_vpc_id != vpc_id:
                raise CloudError(
                    Kind.INVALID,
                    f"Security group {one} and VPC {vpc_id} belong to different networks.",
                    noun="security-group",
                    reason="different-networks",
                    id=one,
                )
            chosen[rows[one].group_id] = rows[one].group_name
    return chosen


def _find_subnets(
    session: Session,
    account_id: str,
    subnet_id: str,
    availability_zone: str,
    asked: tuple[list[str], list[str]],
) -> list[SubnetRow]:
    """The subnets, each once for every group asked for that is there (or once, where none is)."""
    given = {"account_id": account_id, "group_ids": asked[0], "group_names": asked[1]}
    if subnet_id:
        check_ids("subnet", [subnet_id])
        found = session.rows(_named_subnet(subnet_id=subnet_id, **given), SubnetRow)
        if not found:
            raise not_found("subnet", subnet_id)
        if availability_zone not in ("", found[0].availability_zone):
            raise CloudError(
                Kind.INVALID,
                f"Invalid availability zone: [{availability_zone}]. The subnet '{subnet_id}' is in "
                f"{found[0].availability_zone}.",
                noun="availability-zone",
            )
        return found
    found = session.rows(_default_subnets(**given), SubnetRow)
    if not found:
        raise CloudError(
            Kind.NOT_FOUND,
            "No subnets found for the default VPC. Please specify a subnet.",
            noun="subnet",
            reason="no-default",
        )
    if availability_zone:
        found = [row for row in found if row.availability_zone == availability_zone]
        if not found:
            raise CloudError(
                Kind.INVALID,
                f"Invalid availability zone: [{availability_zone}]",
                noun="availability-zone",
            )
    return found


def _subnets(account_id: str, group_ids: Sequence[str], group_names: Sequence[str]) -> Select:
    is_asked = _is_asked(account_id, Subnet.vpc_id, group_ids, group_names)
    return (
        Subnet.select(
            Subnet.subnet_id,
            Subnet.vpc_id,
            Subnet.cidr_block,
            Subnet.availability_zone,
            Subnet.map_public_ip_on_launch,
            Vpc.is_default,
            DNS_HOSTNAMES,
            SecurityGroup.group_id,
            SecurityGroup.group_name,
            SecurityGroup.vpc_id.alias("group_vpc_id"),
        )
        .join(Vpc, on=Vpc.vpc_id == Subnet.vpc_id)
        .join(SecurityGroup, JOIN.LEFT_OUTER, on=is_asked)
        .where(Subnet.account_id == account_id)
        .order_by(Subnet.availability_zone)
    )


@prepared
def _named_subnet(
    subnet_id: str, account_id: str, group_ids: Sequence[str], group_names: Sequence[str]
) -> Select:
    return _subnets(account_id, group_ids, group_names).where(Subnet.subnet_id == subnet_id)


@prepared
def _default_subnets(
    account_id: str, group_ids: Sequence[str], group_names: Sequence[str]
) -> Select:
    defaults = _subnets(account_id, group_ids, group_names)
    return defaults.where(Vpc.is_default, Subnet.default_for_az)
