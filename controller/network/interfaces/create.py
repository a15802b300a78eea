"""Making network interfaces: those of a launch, and one by itself.

Called by compute/launch/interfaces inside RunInstances' transaction, whose statements are counted,
and by network/interfaces/attributes. ``create_interfaces`` takes four statements, the same for
fifty instances as for one: free addresses found, public ones lent, interfaces, memberships; with
secondary addresses five.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from controller.kernel.database import Transaction
from controller.network import address_pool as pool
from controller.network.interfaces import private_addresses
from controller.network.interfaces.launch import LaunchNetwork, LaunchSubnet
from controller.tables.network import NetworkInterface, NicGroup, SecondaryAddress
from protos.errors import CloudError, Kind
from protos.ids import new_id

ADDRESSES_PER_INTERFACE_MAX = 50  # of one that is attached to nothing; else its instance type says
DESCRIPTION_CHARS_MAX = 255


@dataclass(frozen=True)
class Wish:
    """What is asked of an interface. ``public``: lend it a public address; None: as its subnet
    says. ``secondary`` are asked for, ``secondary_count`` drawn: one of the two."""

    private_ip: str = ""
    secondary: tuple[str, ...] = ()
    secondary_count: int = 0
    public: bool | None = None
    description: str = ""
    device_index: int = 0
    delete_on_termination: bool = True
    client_token: str = ""
    request_digest: str = ""

    @property
    def addresses(self) -> int:
        return 1 + len(self.secondary) + self.secondary_count


@dataclass(frozen=True)
class NewInterface:
    network_interface_id: str
    instance_id: str | None
    attachment_id: str
    mac_address: str
    private_ip: str
    public_ip: str  # "" for none
    secondary_ips: tuple[str, ...] = ()


def check_wish(wish: Wish, addresses_max: int) -> None:
    """Raises INVALID, QUOTA."""
    check_description(wish.description)
    if wish.secondary_count < 0:
        raise CloudError(
            Kind.INVALID,
            f"Value ({wish.secondary_count}) for parameter secondaryPrivateIpAddressCount is "
            "invalid. It cannot be less than 0.",
            noun="parameter",
        )
    if wish.secondary and wish.secondary_count:
        raise CloudError(
            Kind.INVALID,
            "The parameter secondaryPrivateIpAddressCount cannot be used with secondary private "
            "addresses that are named",
            reason="parameter-combination",
        )
    check_address_count(wish.addresses, addresses_max)


def check_description(description: str) -> None:
    if len(description) > DESCRIPTION_CHARS_MAX:
        raise CloudError(
            Kind.INVALID,
            "The description of a network interface has at most "
            f"{DESCRIPTION_CHARS_MAX} characters.",
            noun="parameter",
        )


def check_address_count(count: int, addresses_max: int) -> None:
    """Raises QUOTA."""
    if count > addresses_max:
        raise CloudError(
            Kind.QUOTA,
            f"Number of private addresses will exceed limit: {count} exceed {addresses_max}.",
            noun="private-address",
        )


def create_interfaces(
    tx: Transaction,
    rng: random.Random,
    network: LaunchNetwork,
    subnet: LaunchSubnet,
    instance_ids: Sequence[str | None],
    wish: Wish,
) -> list[NewInterface]:
    """An interface for each of these instances, in their order; None: for nobody yet. The caller
    attaches them (``attachment_row``).

    The caller has checked the wish; addresses are asked for by name for one only. Raises
    NO_CAPACITY (subnet, elastic-ip), INVALID and EXISTS for an address that cannot be had, DENIED
    where the caller may not use the subnet or a group.
    """
    tx.authorize("subnet", [subnet.subnet_id])
    tx.authorize("security-group", list(network.groups))
    tx.authorize("network-interface", ["*"])
    count = len(instance_ids)
    wants_public = subnet.map_public_ip_on_launch if wish.public is None else wish.public
    private = _private_addresses(tx, rng, subnet, count, wish)
    lent = pool.lend(tx, tx.call.account_id, count) if wants_public else [""] * count
    made = [
        NewInterface(
            new_id("network-interface", rng),
            instance_id,
            new_id("network-interface-attachment", rng) if instance_id else "",
            _new_mac(rng),
            own[0],
            public_ip,
            own[1:],
        )
        for instance_id, own, public_ip in zip(instance_ids, private, lent, strict=True)
    ]
    alike = _columns_alike(tx, network, subnet, wish) | {"auto_public": wants_public}
    tx.insert(NetworkInterface, [alike | _own_columns(tx, one) for one in made])
    secondary = [row for one in made for row in _secondary_rows_of(subnet.subnet_id, one)]
    if secondary:
        tx.insert(SecondaryAddress, secondary)
    tx.insert(
        NicGroup,
        [row for one in made for row in group_rows(one.network_interface_id, network.groups)],
    )
    return made


def attachment_row(
    tx: Transaction, network_interface_id: str, attachment_id: str, instance_id: str, wish: Wish
) -> dict[str, object]:
    """The row that ties an interface to the instance that is launched with it."""
    return {
        "kind": "network_interface",
        "device_id": network_interface_id,
        "attachment_id": attachment_id,
        "instance_id": instance_id,
        "position": wish.device_index,
        "delete_on_termination": wish.delete_on_termination,
        "attached_ms": tx.call.now_ms,
    }


def group_rows(network_interface_id: str, group_ids: Iterable[str]) -> list[dict[str, object]]:
    return [
        {
            "network_interface_id": network_interface_id,
            "group_id": group_id,
            "position": position,
        }
        for position, group_id in enumerate(group_ids)
    ]


def _secondary_rows_of(subnet_id: str, one: NewInterface) -> list[dict[str, object]]:
    return secondary_rows(subnet_id, one.network_interface_id, one.secondary_ips)


def secondary_rows(
    subnet_id: str, network_interface_id: str, addresses: Sequence[str], first: int = 0
) -> list[dict[str, object]]:
    return [
        {
            "subnet_id": subnet_id,
            "private_ip": private_ip,
            "network_interface_id": network_interface_id,
            "position": position,
        }
        for position, private_ip in enumerate(addresses, first)
    ]


def _private_addresses(
    tx: Transaction, rng: random.Random, subnet: LaunchSubnet, count: int, wish: Wish
) -> list[tuple[str, ...]]:
    """The addresses of each interface, the primary one first."""
    place = subnet.subnet_id, subnet.cidr_block
    named = [wish.private_ip, *wish.secondary] if wish.private_ip else list(wish.secondary)
    asked = private_addresses.check_free(tx, *place, named) if named else []
    drawn = count * wish.addresses - len(asked)
    free = private_addresses.draw_free(tx, rng, *place, drawn, asked) if drawn else []
    if asked:  # for one interface only
        primary = asked[:1] if wish.private_ip else free[:1]
        rest = [one for one in [*asked, *free] if one not in primary]
        return [(*primary, *rest)]
    each = wish.addresses
    return [tuple(free[start : start + each]) for start in range(0, drawn, each)]


def _columns_alike(
    tx: Transaction, network: LaunchNetwork, subnet: LaunchSubnet, wish: Wish
) -> dict[str, object]:
    return {
        "account_id": tx.call.account_id,
        "vpc_id": network.vpc_id,
        "subnet_id": subnet.subnet_id,
        "availability_zone": subnet.availability_zone,
        "description": wish.description,
        "client_token": wish.client_token,
        "request_digest": wish.request_digest,
        "created_ms": tx.call.now_ms,
    }


def _own_columns(tx: Transaction, one: NewInterface) -> dict[str, object]:
    return {
        "network_interface_id": one.network_interface_id,
        "mac_address": one.mac_address,
        "private_ip": one.private_ip,
        "public_ip": one.public_ip or None,
    }


def _new_mac(rng: random.Random) -> str:
    """Locally administered, unicast: 02 and forty random bits (IEEE 802)."""
    return bytes((2, *rng.getrandbits(40).to_bytes(5, "big"))).hex(":")
