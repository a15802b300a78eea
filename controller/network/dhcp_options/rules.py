"""Sets of DHCP options: made, associated with VPCs, deleted. The only writer of their tables.

Called by the service (rpc) and by network/vpcs/rules. A set never changes; another one takes its
place (EC2 User Guide, "DHCP option sets"). The one that an account's VPCs begin with is made with
its first VPC, and again where it was deleted.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from peewee import SQL

from controller.hosts.feed import Feed
from controller.identity.tags import rules as tags
from controller.identity.tags.checks import tags_of_specifications
from controller.kernel.database import Transaction
from controller.kernel.lookup import check_ids
from controller.kernel.owned import Owned
from controller.tables.compute import Placement
from controller.tables.network import DhcpOption, DhcpOptions, Vpc
from controller.tables.nouns import INSTANCE, VPC
from protos import network_values
from protos.cloud.v1 import networks_pb2
from protos.errors import CloudError, Kind, missing_parameter
from protos.ids import new_id

OWNED = Owned(
    "dhcp-options",
    DhcpOptions.dhcp_options_id,
    DhcpOptions.account_id,
    facts={"ec2:DhcpOptionsID": DhcpOptions.dhcp_options_id},
)
OWN_RESOLVER = "AmazonProvidedDNS"  # EC2's word for the VPC's own
SERVERS_MAX = 4
TOLD_AT_ONCE = 1000  # instances in one statement
_NODE_TYPES = tuple(map(str, network_values.NETBIOS_NODE_TYPES))


class SetRow(NamedTuple):
    dhcp_options_id: str


def default_set(tx: Transaction, rng: random.Random, account_id: str, domain: str) -> str:
    """The id of the set that the account's VPCs begin with."""
    own = DhcpOptions.account_id == account_id, DhcpOptions.is_default
    found = tx.value(DhcpOptions.select(DhcpOptions.dhcp_options_id).where(*own), str)
    if found:
        return found
    options = {"domain-name": [domain], "domain-name-servers": [OWN_RESOLVER]}
    return _insert(tx, rng, account_id, options, is_default=True)


def keep_domain(tx: Transaction, feed: Feed, domain: str) -> None:
    """The sets that accounts began with name the region's domain, also one that was configured
    since: it is what hosts tell their guests. Hosts are told of the guests' new names."""
    began = DhcpOptions.select(DhcpOptions.dhcp_options_id).where(DhcpOptions.is_default)
    renamed = tx.advance(
        DhcpOption,
        {"value": domain},
        DhcpOption.dhcp_options_id.in_(began),
        DhcpOption.key == "domain-name",
        DhcpOption.value != domain,
    )
    if renamed:
        live = Placement.select(Placement.instance_id).where(Placement.live)
        ids = tx.column(live, str)
        for start in range(0, len(ids), TOLD_AT_ONCE):
            feed.revise(tx, INSTANCE, ids[start : start + TOLD_AT_ONCE], at_once=False)


def create(
    tx: Transaction, rng: random.Random, request: networks_pb2.CreateDhcpOptionsRequest
) -> str:
    """Makes a set; answers its id. Raises INVALID, UNSUPPORTED."""
    wanted = tags_of_specifications(request.tag_specifications, "dhcp-options")
    options: dict[str, list[str]] = {}
    for option in request.options:
        if option.key in options:
            raise _invalid(option.key, "it is given twice")
        options[option.key] = _checked(option.key, list(option.values))
    if not options:
        raise missing_parameter("dhcpConfiguration")
    set_id = _insert(tx, rng, tx.call.account_id, options)
    tags.add(tx, tx.call.account_id, [("dhcp-options", [set_id], wanted["dhcp-options"])])
    return set_id


def delete(tx: Transaction, set_id: str) -> None:
    """Deletes a set that no VPC uses. Raises MALFORMED_ID, NOT_FOUND, WRONG_STATE (in-use)."""
    _find(tx, set_id)
    if tx.exists(Vpc.select(SQL("1")).where(Vpc.dhcp_options_id == set_id).limit(1)):
        raise CloudError(
            Kind.WRONG_STATE,
            f"The dhcpOptions '{set_id}' has dependencies and cannot be deleted.",
            noun="dhcp-options",
            reason="in-use",
            id=set_id,
        )
    tx.delete(DhcpOptions, DhcpOptions.dhcp_options_id == set_id)
    tags.remove_all(tx, [set_id])


def associate(
    tx: Transaction,
    rng: random.Random,
    feed: Feed,
    domain: str,
    request: networks_pb2.AssociateDhcpOptionsRequest,
) -> None:
    """Gives a VPC other DHCP options; guests learn of them as their leases are renewed. "default":
    the set that the account began with. Raises MALFORMED_ID, NOT_FOUND. The VPC is the caller's."""
    set_id = request.dhcp_options_id
    if set_id == "default":
        set_id = default_set(tx, rng, tx.call.account_id, domain)
        tx.authorize("dhcp-options", [set_id])
    else:
        _find(tx, set_id)
    tx.advance(Vpc, {"dhcp_options_id": set_id}, Vpc.vpc_id == request.vpc_id)
    feed.revise(tx, VPC, [request.vpc_id])


def _insert(
    tx: Transaction,
    rng: random.Random,
    account_id: str,
    options: Mapping[str, Sequence[str]],
    is_default: bool = False,
) -> str:
    set_id = new_id("dhcp-options", rng)
    row = {"dhcp_options_id": set_id, "account_id": account_id, "is_default": is_default}
    tx.insert(DhcpOptions, [row | {"created_ms": tx.call.now_ms}])
    tx.insert(
        DhcpOption,
        [
            {"dhcp_options_id": set_id, "key": key, "position": position, "value": value}
            for key, values in options.items()
            for position, value in enumerate(values)
        ],
    )
    return set_id


def _find(tx: Transaction, set_id: str) -> None:
    check_ids("dhcp-options", [set_id])
    OWNED.find(tx, tx.call.account_id, set_id, SetRow)


def _checked(key: str, values: list[str]) -> list[str]:
    """EC2 takes several names of one option as one value parted by commas as well."""
    values = [part.strip() for value in values for part in value.split(",")]
    if not values or not all(values):
        raise _invalid(key, "it has no value")
    if key in ("domain-name-servers", "ntp-servers", "netbios-name-servers"):
        return _addresses(key, values)
    if len(values) > 1:
        raise _invalid(key, "it has one value only")
    if key == "domain-name":
        _by_rule(key, network_values.domain, values[0])
    elif key == "netbios-node-type":
        if values[0] not in _NODE_TYPES:
            raise _invalid(key, f"'{values[0]}' is none of {', '.join(_NODE_TYPES)}")
    elif key == "ipv6-address-preferred-lease-time":
        raise CloudError(
            Kind.UNSUPPORTED, f"The DHCP option {key} is not supported by this cloud.", id=key
        )
    else:
        raise _invalid(key, "there is no such option")
    return values


def _addresses(key: str, values: Sequence[str]) -> list[str]:
    if len(values) > SERVERS_MAX:
        raise _invalid(key, f"it has at most {SERVERS_MAX} values")
    shown = []
    for value in values:
        if key == "domain-name-servers" and value == OWN_RESOLVER:
            shown.append(value)
            continue
        shown.append(_by_rule(key, network_values.address, value))
    return shown


def _by_rule(key: str, rule: Callable[[str], str], value: str) -> str:
    """As the hosts read it."""
    try:
        return rule(value)
    except ValueError as mistake:
        raise _invalid(key, str(mistake)) from mistake


def _invalid(key: str, why: str) -> CloudError:
    return CloudError(
        Kind.INVALID,
        f"Value ({key}) for parameter dhcpConfiguration is invalid: {why}.",
        noun="parameter",
        id=key,
    )
