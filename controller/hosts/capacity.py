"""Claims on hosts: the only writer of host.vcpus_used, memory_mib_used and disk_gib_used.

Called by compute/launch/plan, compute/instances (rules, reconcile) and storage/volumes inside
their transactions. A claim is a guarded update: it happens only where the host is up and, with the
ratios, has room; the scheduler's proposal counts for nothing here. What is claimed is written down
beside it, in the same transaction: vCPUs and memory in the live placement, disk in the volume, so
that

    host.vcpus_used      = sum of vcpus       of its live placements
    host.memory_mib_used = sum of memory_mib  of its live placements
    host.disk_gib_used   = sum of size_gib    of the volumes on it
"""

from collections.abc import Iterable
from dataclasses import dataclass

from peewee import Case, Expression, Update

from controller.hosts.feed import Moved
from controller.hosts.overcommit import Settings
from controller.kernel.database import Transaction
from controller.kernel.prepared import prepared
from controller.kernel.table import Clause, Column
from controller.tables.hosts import Assignment, Host


@dataclass(frozen=True)
class Amount:
    vcpus: int = 0
    memory_mib: int = 0
    disk_gib: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(
            self.vcpus + other.vcpus,
            self.memory_mib + other.memory_mib,
            self.disk_gib + other.disk_gib,
        )

    def times(self, count: int) -> "Amount":
        return Amount(self.vcpus * count, self.memory_mib * count, self.disk_gib * count)


def claim(
    tx: Transaction, host_id: str, amount: Amount, settings: Settings, vpc_id: str = ""
) -> dict[str, int] | None:
    """Claims on one host and moves its feed; None where the host is not up or has no room.

    With a vpc_id, the same statement moves the feeds of the other hosts of that VPC, whose groups
    are about to gain members. Answers the new positions, host id → position (hosts/feed), the
    claimed host's always among them.
    """
    rows = tx.rows(
        _claim_query(
            host_id=host_id,
            vcpus=amount.vcpus,
            memory_mib=amount.memory_mib,
            disk_gib=amount.disk_gib,
            cpu_permille=round(settings.cpu_ratio * 1000),
            ram_permille=round(settings.ram_ratio * 1000),
            disk_permille=round(settings.disk_ratio * 1000),
            vpc_id=vpc_id,
        ),
        Moved,
    )
    positions = {row.host_id: row.position for row in rows}
    return positions if host_id in positions else None


@prepared
def _claim_query(
    host_id: object,
    vcpus: object,
    memory_mib: object,
    disk_gib: object,
    cpu_permille: object,
    ram_permille: object,
    disk_permille: object,
    vpc_id: object,
) -> Update:
    """Compared in whole numbers: how a database rounds is its own affair. Asking for nothing of a
    kind always fits, also on a host that has shrunk below what is used of it."""
    is_it = Host.host_id == host_id
    fits = is_it & (Host.health == "up")
    for used, total, asked, permille in (
        (Host.vcpus_used, Host.vcpus, vcpus, cpu_permille),
        (Host.memory_mib_used, Host.memory_mib, memory_mib, ram_permille),
        (Host.disk_gib_used, Host.disk_gib, disk_gib, disk_permille),
    ):
        room = (used + asked) * 1000 <= total * permille
        fits = fits & (room | (Expression(asked, "=", 0)))
    of_vpc = Assignment.select(Assignment.host_id).where(
        Assignment.kind == "vpc", Assignment.resource_id == vpc_id
    )
    neighbour = (Host.host_id != host_id) & Host.host_id.in_(of_vpc)

    def more(column: Column, asked: object) -> Clause:
        return column + Case(None, [(is_it, asked)], 0)

    return (
        Host.update(
            {
                Host.position: Host.position + 1,
                Host.vcpus_used: more(Host.vcpus_used, vcpus),
                Host.memory_mib_used: more(Host.memory_mib_used, memory_mib),
                Host.disk_gib_used: more(Host.disk_gib_used, disk_gib),
            }
        )
        .where(fits | neighbour)
        .returning(Host.host_id, Host.position)
    )


def release(tx: Transaction, amounts: Iterable[tuple[str, Amount]]) -> None:
    """Releases claims, (host id, amount) …: one statement a host. Called once for each claim, by a
    guarded update's word."""
    of_hosts: dict[str, Amount] = {}
    for host_id, amount in amounts:
        of_hosts[host_id] = of_hosts.get(host_id, Amount()) + amount
    for host_id, amount in sorted(of_hosts.items()):
        if amount != Amount():
            tx.advance(
                Host,
                {
                    "vcpus_used": Host.vcpus_used - amount.vcpus,
                    "memory_mib_used": Host.memory_mib_used - amount.memory_mib,
                    "disk_gib_used": Host.disk_gib_used - amount.disk_gib,
                },
                Host.host_id == host_id,
            )
