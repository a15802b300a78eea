"""Private addresses of a subnet: drawn at random, or those that were asked for.

Called by network/interfaces/create and secondary_addresses within the transaction that then takes
them. An address is an interface's primary or secondary one, or a stranger's (hosts/strangers):
three tables, of which all are asked. Random, so that no row is everybody's bottleneck and a gone
instance's address rests. EC2 keeps the first four addresses of a subnet and the last (User Guide,
"Subnet CIDR blocks").
"""

import ipaddress
import random
from collections.abc import Collection, Sequence

from peewee import Query

from controller.kernel.database import Transaction
from controller.kernel.prepared import among, prepared
from controller.tables.hosts import StrangerAddress
from controller.tables.network import NetworkInterface, SecondaryAddress
from protos.errors import CloudError, Kind

RESERVED_FIRST, RESERVED_LAST = 4, 1
_SPARE_CANDIDATES = 24
_CANDIDATES_MAX = 16_384  # of one statement


def usable_addresses(cidr_block: str) -> int:
    """How many addresses of a subnet instances can have."""
    return ipaddress.ip_network(cidr_block).num_addresses - RESERVED_FIRST - RESERVED_LAST


def check_free(
    tx: Transaction, subnet_id: str, cidr_block: str, private_ips: Sequence[str]
) -> list[str]:
    """The addresses as the subnet writes them. Raises INVALID (no address of it; one said twice),
    EXISTS."""
    asked = [check_address(cidr_block, private_ip) for private_ip in private_ips]
    if len(set(asked)) < len(asked):
        raise CloudError(
            Kind.INVALID,
            "The same private IP address was specified more than once.",
            noun="parameter",
        )
    if used := sorted(_used(tx, subnet_id, asked)) if asked else []:
        raise CloudError(
            Kind.EXISTS,
            f"Address {used[0]} is in use.",
            noun="network-interface",
            id=used[0],
        )
    return asked


def check_address(cidr_block: str, private_ip: str) -> str:
    """An address that instances can have, as the subnet writes it. Raises INVALID. Pure."""
    network = ipaddress.ip_network(cidr_block)
    try:
        address = ipaddress.IPv4Address(private_ip)
    except ValueError as failure:
        raise CloudError(
            Kind.INVALID,
            f"Value ({private_ip}) for parameter address is invalid. Invalid IPv4 address.",
            noun="parameter",
        ) from failure
    offset = int(address) - int(network.network_address)
    if not RESERVED_FIRST <= offset < network.num_addresses - RESERVED_LAST:
        outside = address not in network
        raise CloudError(
            Kind.INVALID,
            f"Address does not fall within the subnet's address range: {private_ip}"
            if outside
            else f"The address {private_ip} is reserved in its subnet",
            noun="parameter",
        )
    return str(address)


def draw_free(
    tx: Transaction,
    rng: random.Random,
    subnet_id: str,
    cidr_block: str,
    count: int,
    but: Collection[str] = (),
) -> list[str]:
    """Random free addresses, none of ``but``, in one statement unless the subnet is rather full.

    Raises NO_CAPACITY.
    """
    network = ipaddress.ip_network(cidr_block)
    start = int(network.network_address) + RESERVED_FIRST
    usable = usable_addresses(cidr_block)
    draw = min(usable, 2 * count + _SPARE_CANDIDATES)
    offsets = rng.sample(range(usable), draw)
    free: list[str] = []
    while True:
        candidates = [str(ipaddress.IPv4Address(start + offset)) for offset in offsets]
        used = _used(tx, subnet_id, candidates).union(but)
        free += [address for address in candidates if address not in used]
        if len(free) >= count:
            return free[:count]
        if draw == usable:
            raise CloudError(
                Kind.NO_CAPACITY,
                f"There are not enough free addresses in subnet '{subnet_id}' to satisfy "
                "the requested number of instances.",
                noun="subnet",
                id=subnet_id,
            )
        free, draw, offsets = [], usable, rng.sample(range(usable), usable)


def _used(tx: Transaction, subnet_id: str, candidates: Sequence[str]) -> set[str]:
    used: set[str] = set()
    for start in range(0, len(candidates), _CANDIDATES_MAX):
        part = candidates[start : start + _CANDIDATES_MAX]
        query = _used_query(subnet_id=subnet_id, addresses=part)
        used.update(tx.column(query, str))
    return used


@prepared
def _used_query(subnet_id: str, addresses: Sequence[str]) -> Query:
    nic, more = NetworkInterface, SecondaryAddress
    primary = nic.select(nic.private_ip).where(
        nic.subnet_id == subnet_id, among(nic.private_ip, addresses)
    )
    secondary = more.select(more.private_ip).where(
        more.subnet_id == subnet_id, among(more.private_ip, addresses)
    )
    strange = StrangerAddress.select(StrangerAddress.address).where(
        StrangerAddress.subnet_id == subnet_id, among(StrangerAddress.address, addresses)
    )
    return primary.union_all(secondary).union_all(strange)
