"""What a launch needs of the network: where it may go, its groups, and its interfaces.

Called by instances/rules inside RunInstances' transaction, whose statements are counted:

    find_launch_network   1 statement    the subnets that it may use and its groups
    create_interfaces     4 statements   free addresses found, public ones lent, interfaces,
                                         memberships; the same four for fifty instances as for one
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from peewee import JOIN

from controller.db.prepared import among, prepared
from controller.db.schema import NetworkInterface, NicGroup, SecurityGroup, Subnet, Vpc
from controller.db.session import Session, Transaction
from controller.lookup import check_ids, not_found
from controller.networks import pool, private_addresses
from protos.errors import CloudError, Kind
from protos.ids import new_id

GROUPS_PER_INTERFACE_MAX = 5


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


@dataclass(frozen=True)
class NewInterface:
    network_interface_id: str
    instance_id: str
    attachment_id: str
    mac_address: str
    private_ip: str
    public_ip: str  # "" for none


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
    found = [row for row in rows if row.subnet_id == first.subnet_id and row.group_id is not None]
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

    Raises MALFORMED_ID, NOT_FOUND, INVALID (another VPC's), QUOTA (more than five).
    """
    asked = _asked_groups(group_ids, group_names, default)
    group = SecurityGroup
    query = group.select(group.group_id, group.group_name, group.vpc_id.alias("group_vpc_id"))
    found = session.rows(query.where(_is_asked(account_id, vpc_id, *asked)))
    return _choose_groups(found, vpc_id, asked)


def _asked_groups(
    group_ids: Sequence[str], group_names: Sequence[str], default: bool
) -> tuple[list[str], list[str]]:
    check_ids("security-group", group_ids)
    if len(group_ids) + len(group_names) > GROUPS_PER_INTERFACE_MAX:
        raise CloudError(
            Kind.QUOTA,
            "The maximum number of security groups per interface has been reached.",
            noun="network-interface",
        )
    if not group_ids and not group_names and default:
        return [], ["default"]
    return list(group_ids), list(group_names)


def _is_asked(account_id, vpc_id, group_ids, group_names):
    """The groups asked for by id, of any VPC (to say so), and by name, of this one."""
    named = (SecurityGroup.vpc_id == vpc_id) & among(SecurityGroup.group_name, group_names)
    is_own = SecurityGroup.account_id == account_id
    return is_own & (among(SecurityGroup.group_id, group_ids) | named)


def _choose_groups(
    found: Sequence, vpc_id: str, asked: tuple[list[str], list[str]]
) -> dict[str, str]:
    by_id = {row.group_id: row for row in found}
    by_name = {row.group_name: row for row in found if row.group_vpc_id == vpc_id}
    chosen = {}
    for wanted, rows in zip(asked, (by_id, by_name), strict=True):
        for one in wanted:
            if one not in rows:
                raise not_found("security-group", one)
            if rows[one].group_vpc_id != vpc_id:
                raise CloudError(
                    Kind.INVALID,
                    f"Security group {one} and VPC {vpc_id} belong to different networks.",
                    noun="security-group",
                    id=one,
                )
            chosen[rows[one].group_id] = rows[one].group_name
    return chosen


def create_interfaces(
    tx: Transaction,
    rng: random.Random,
    network: LaunchNetwork,
    subnet: LaunchSubnet,
    instance_ids: Sequence[str],
    *,
    private_ip: str = "",
    public: bool | None = None,
    description: str = "",
    delete_on_termination: bool = True,
    source_dest_check: bool = True,
) -> list[NewInterface]:
    """The first interface of each of these instances, in their order.

    ``private_ip``: this one (one instance only). ``public``: lend a public address; None: as the
    subnet says. Raises NO_CAPACITY (subnet, elastic-ip), INVALID and EXISTS for a private_ip that
    cannot be had.
    """
    account_id, count = tx.call.account_id, len(instance_ids)
    wants_public = subnet.map_public_ip_on_launch if public is None else public
    place = subnet.subnet_id, subnet.cidr_block
    private = (
        [private_addresses.check_free(tx, *place, private_ip)]
        if private_ip
        else private_addresses.draw_free(tx, rng, *place, count)
    )
    lent = pool.lend(tx, account_id, count) if wants_public else [""] * count
    made = [
        NewInterface(
            new_id("network-interface", rng),
            instance_id,
            new_id("network-interface-attachment", rng),
            _new_mac(rng),
            own_ip,
            public_ip,
        )
        for instance_id, own_ip, public_ip in zip(instance_ids, private, lent, strict=True)
    ]
    alike = {
        "account_id": account_id,
        "vpc_id": network.vpc_id,
        "subnet_id": subnet.subnet_id,
        "availability_zone": subnet.availability_zone,
        "description": description,
        "source_dest_check": source_dest_check,
        "delete_on_termination": delete_on_termination,
        "auto_public": wants_public,
        "created_ms": tx.call.now_ms,
        "attached_ms": tx.call.now_ms,
    }
    tx.insert(NetworkInterface, [alike | _own_columns(one) for one in made])
    tx.insert(
        NicGroup,
        [
            {
                "network_interface_id": one.network_interface_id,
                "group_id": group_id,
                "position": position,
            }
            for one in made
            for position, group_id in enumerate(network.groups)
        ],
    )
    return made


def _own_columns(one: NewInterface) -> dict:
    return {
        "network_interface_id": one.network_interface_id,
        "instance_id": one.instance_id,
        "attachment_id": one.attachment_id,
        "mac_address": one.mac_address,
        "private_ip": one.private_ip,
        "public_ip": one.public_ip or None,
    }


def _find_subnets(
    session: Session,
    account_id: str,
    subnet_id: str,
    availability_zone: str,
    asked: tuple[list[str], list[str]],
) -> list:
    """The subnets, each once for every group asked for that is there (or once, where none is)."""
    given = {"account_id": account_id, "group_ids": asked[0], "group_names": asked[1]}
    if subnet_id:
        check_ids("subnet", [subnet_id])
        found = session.rows(_named_subnet(subnet_id=subnet_id, **given))
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
    found = session.rows(_default_subnets(**given))
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


def _subnets(account_id, group_ids, group_names):
    is_asked = _is_asked(account_id, Subnet.vpc_id, group_ids, group_names)
    return (
        Subnet.select(
            Subnet.subnet_id,
            Subnet.vpc_id,
            Subnet.cidr_block,
            Subnet.availability_zone,
            Subnet.map_public_ip_on_launch,
            Vpc.is_default,
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
def _named_subnet(subnet_id, account_id, group_ids, group_names):
    return _subnets(account_id, group_ids, group_names).where(Subnet.subnet_id == subnet_id)


@prepared
def _default_subnets(account_id, group_ids, group_names):
    defaults = _subnets(account_id, group_ids, group_names)
    return defaults.where(Vpc.is_default, Subnet.default_for_az)


def _new_mac(rng: random.Random) -> str:
    """Locally administered, unicast: 02 and forty random bits (IEEE 802)."""
    return bytes((2, *rng.getrandbits(40).to_bytes(5, "big"))).hex(":")
