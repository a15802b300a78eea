"""How a rule says that hosts should know something. Called inside the transactions of all nouns.

A host's generation moves in any transaction that touches what it should know; what changed carries
the new generation, so that "everything that changed after n" is a query. Sent after the commit at
once where it matters at once; in any case the host's next report (every few seconds) gets it, so a
lost sending costs that much and no more.
"""

from collections.abc import Callable, Collection, Iterable, Sequence

from controller.db.schema import Host, HostVpc, Placement
from controller.db.session import Transaction


class Changes:
    """kick(host_ids): the dispatcher, told after each commit which hosts are to be sent what
    changed."""

    def __init__(self, kick: Callable[[Iterable[str]], None]):
        self._kick = kick

    def instances(
        self, tx: Transaction, instance_ids: Collection[str], *, at_once: bool = True
    ) -> None:
        """The instances' specs changed (not what was wanted of them): their hosts are sent it at
        once, or learn it by their next report."""
        self._note_instances(tx, instance_ids, ("generation",), at_once)

    def intents(self, tx: Transaction, instance_ids: Collection[str]) -> None:
        """What is wanted of the instances changed: what was observed before proves nothing now."""
        self._note_instances(tx, instance_ids, ("generation", "intent_generation"))

    def vpc(self, tx: Transaction, vpc_id: str, *, at_once: bool = True) -> None:
        """What the VPC's hosts know of it changed: groups' rules (at_once), or members and
        addresses."""
        within = HostVpc.select(HostVpc.host_id).where(HostVpc.vpc_id == vpc_id)
        hosts = self.move(tx, Host.host_id.in_(within))
        self.note_vpc(tx, vpc_id, hosts)
        if at_once:
            self.send(tx, hosts)

    def _note_instances(
        self,
        tx: Transaction,
        instance_ids: Collection[str],
        columns: Sequence[str],
        at_once: bool = True,
    ) -> None:
        if not instance_ids:
            return
        live = Placement.live & Placement.instance_id.in_(list(instance_ids))
        hosts = self.move(tx, Host.host_id.in_(Placement.select(Placement.host_id).where(live)))
        for host_id, generation in hosts.items():
            changes = dict.fromkeys(columns, generation)
            tx.advance(Placement, changes, live, Placement.host_id == host_id)
        if at_once:
            self.send(tx, hosts)

    def move(self, tx: Transaction, which) -> dict[str, int]:
        """Moves the generation of the hosts for which ``which`` holds: host id → its new
        generation."""
        rows = tx.advance_returning(
            Host,
            {"generation": Host.generation + 1},
            which,
            returning=[Host.host_id, Host.generation],
        )
        return {row.host_id: row.generation for row in rows}

    def note_vpc(self, tx: Transaction, vpc_id: str, hosts: dict[str, int]) -> None:
        """These hosts should know of the VPC, as it is at these generations of theirs."""
        if hosts:
            rows = [
                {"host_id": host_id, "vpc_id": vpc_id, "generation": generation}
                for host_id, generation in hosts.items()
            ]
            tx.insert(HostVpc, rows, on_conflict=("host_id", "vpc_id"), update=("generation",))

    def send(self, tx: Transaction, host_ids: Iterable[str]) -> None:
        """These hosts are sent what changed, once the transaction is durable."""
        if host_ids := list(host_ids):
            tx.after_commit(lambda: self._kick(host_ids))
