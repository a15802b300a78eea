"""The pool of public addresses: who has which. With addresses its only writer.

A row's address is free (no account), lent (an account, no allocation id: it came with a launch
and goes with the stop) or allocated (an allocation id: EC2's elastic address, kept until
released). Which interface carries it is the interface's column ``public_ip``. The longest free is
handed out first, so that an address rests before its next owner.
"""

import ipaddress
from collections.abc import Sequence

from peewee import SQL, Update, fn

from controller.kernel.database import Transaction
from controller.kernel.prepared import prepared
from controller.kernel.table import Clause, Column
from controller.tables.hosts import StrangerAddress
from controller.tables.network import PublicAddress
from protos.errors import CloudError, Kind

POOL_ADDRESSES_MAX = 1 << 16
FIRST_OF_POOL = 2  # beside the block's own address


def ensure_pool(tx: Transaction, block: str) -> int:
    """Makes the pool what the configuration says; answers its size.

    The block's first address is every host's own (hostagent/network: the pool's gateway) and is
    never handed out. Addresses in use outside the block stay until given back, then go at the next
    start. Raises ValueError for a block that cannot be one.
    """
    network = ipaddress.IPv4Network(block)
    if network.num_addresses > POOL_ADDRESSES_MAX:
        raise ValueError(f"{block} has more than {POOL_ADDRESSES_MAX} addresses")
    first, last = int(network.network_address) + FIRST_OF_POOL, int(network.broadcast_address)
    position = PublicAddress.position
    tx.delete(
        PublicAddress,
        PublicAddress.account_id.is_null() & ((position < first) | (position > last)),
    )
    query = PublicAddress.select(position).where(position >= first, position <= last)
    there = set(tx.column(query, int))
    missing = [
        address
        for address in network.hosts()
        if int(address) >= first and int(address) not in there
    ]
    tx.insert(
        PublicAddress,
        [{"public_ip": str(address), "position": int(address)} for address in missing],
    )
    return len(there) + len(missing)


def lend(tx: Transaction, account_id: str, count: int) -> list[str]:
    """Takes free addresses out of the pool, in one statement. Raises NO_CAPACITY for too few."""
    found = take(tx, account_id, count)
    if len(found) < count:
        raise CloudError(
            Kind.NO_CAPACITY,
            "There are not enough free public addresses. Launch without one "
            "(AssociatePublicIpAddress=false) or ask the operator for a larger pool.",
            noun="elastic-ip",
        )
    return found


def take(tx: Transaction, account_id: str, count: int) -> list[str]:
    """As ``lend``, but as many as there are."""
    if not count:
        return []
    query = _take_query(account_id=account_id, now_ms=tx.call.now_ms, count=count)
    return tx.column(query, str)


@prepared
def _take_query(account_id: str, now_ms: int, count: int) -> Update:
    """The free ones in the index's order; what guards the update keeps it from that index."""
    free = (
        PublicAddress.select(PublicAddress.public_ip)
        .where(PublicAddress.account_id.is_null(), ~is_strangers(PublicAddress.public_ip))
        .order_by(PublicAddress.reserved_ms, PublicAddress.position)
        .limit(count)
    )
    taken = {PublicAddress.account_id: account_id, PublicAddress.reserved_ms: now_ms}
    return (
        PublicAddress.update(taken)
        .where(PublicAddress.public_ip.in_(free), fn.COALESCE(PublicAddress.account_id, "") == "")
        .returning(PublicAddress.public_ip)
    )


def is_strangers(public_ip: Column) -> Clause:
    """Something has it that this database does not know (hosts/strangers)."""
    held = (StrangerAddress.address == public_ip) & (StrangerAddress.subnet_id == "")
    return fn.EXISTS(StrangerAddress.select(SQL("1")).where(held))


def give_back(tx: Transaction, addresses: Sequence[str]) -> None:
    """Lent addresses become free; allocated ones among them stay their account's."""
    if addresses:
        tx.advance(
            PublicAddress,
            {"account_id": None, "reserved_ms": tx.call.now_ms},
            PublicAddress.public_ip.in_(addresses),
            PublicAddress.allocation_id.is_null(),
        )
