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

    def devices(self, tx: Transaction, instance_ids: Collection[str]) -> dict[str, int]:
        """Disks or interfaces of the instances came or are to go. Answers host id → the generation
        that says so: what came or goes is stamped with it, and is so once its guest has the
        devices of that generation (docs/decisions/0600)."""
        return self._note_instances(tx, instance_ids, ("generation", "devices_wanted"))

    def metadata(self, tx: Transaction, instance_ids: Collection[str]) -> None:
        """What the instances' metadata services answer by changed: it is so once their networks
        follow this generation."""
        self._note_instances(tx, instance_ids, ("generation", "metadata_wanted"))

    def volumes(self, tx: Transaction, host_id: str) -> int:
        """A volume or snapshot at home on the host changed in its own right: answers the generation
        to stamp it with. The host is sent it at once."""
        hosts = self.move(tx, Host.host_id == host_id, ("generation", "volumes_generation"))
        self.send(tx, hosts)
        return hosts[host_id]

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
    ) -> dict[str, int]:
        if not instance_ids:
            return {}
        live = Placement.live & Placement.instance_id.in_(list(instance_ids))
        hosts = self.move(tx, Host.host_id.in_(Placement.select(Placement.host_id).where(live)))
        for host_id, generation in hosts.items():
            changes = dict.fromkeys(columns, generation)
            tx.advance(Placement, changes, live, Placement.host_id == host_id)
        if at_once:
            self.send(tx, hosts)
        return hosts

    def move(
        self, tx: Transaction, which, columns: Sequence[str] = ("generation",)
    ) -> dict[str, int]:
        """Moves the generation of the hosts for which ``which`` holds: host id → its new
        generation, which ``columns`` have now."""
        rows = tx.advance_returning(
            Host,
            dict.fromkeys(columns, Host.generation + 1),
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
