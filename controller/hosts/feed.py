"""How a rule says that hosts should know something: the resource gets a new revision, and its
assignments move to the ends of their hosts' change feeds.

    feed.revise(tx, INSTANCE, ["i-1"], {"force_stop": True})     a change of resources that have
                                                                 assignments: {"i-1": 4}
    feed.assign(tx, VOLUME, [("vol-1", "h-2", 1)])               a host is to make one true
    feed.withdraw(tx, VPC, ["vpc-1"], ["h-2"])                   it need not be told any more

Called inside the transactions of all nouns. A host is sent what changed after the commit, at once
where that matters; in any case its next report (every few seconds) is answered with it, so that a
lost message costs that much and no more. Positions are this module's and delivery's business alone
(docs/decisions/0003).
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from controller.hosts.kinds import Stale
from controller.kernel.database import Transaction
from controller.kernel.table import Clause
from controller.tables.hosts import Assignment, Host
from controller.tables.nouns import Hosted

_POSITION_OF_HOST = "(SELECT host.position FROM host WHERE host.host_id = old.host_id)"


class Revised(NamedTuple):
    resource_id: str
    revision: int


class Told(NamedTuple):
    host_id: str


class Moved(NamedTuple):
    """A host, and the new position in its feed."""

    host_id: str
    position: int


class Feed:
    """kick(host_ids): delivery, told after each commit which hosts are to be sent what changed."""

    def __init__(self, kick: Callable[[Iterable[str]], None]):
        self._kick = kick

    def revise(
        self,
        tx: Transaction,
        noun: Hosted,
        ids: Collection[str],
        changes: Mapping[str, object] | None = None,
        *,
        stamps: Sequence[str] = (),
        at_once: bool = True,
    ) -> dict[str, int]:
        """Changes columns of resources and gives them a new revision; answers id -> revision.

        ``stamps``: columns that take the new revision (such as ``intent_revision``). ``at_once``:
        their hosts are sent it after the commit, else they learn it by their next report.
        """
        if not ids:
            return {}
        revision = noun.revision + 1
        query = noun.table.update(
            **{**(changes or {}), "revision": revision, **dict.fromkeys(stamps, revision)}
        ).where(noun.key.in_(list(ids)))
        changed = query.returning(noun.key.alias("resource_id"), noun.revision)
        revisions = {row.resource_id: row.revision for row in tx.rows(changed, Revised)}
        self.announce(tx, noun, revisions, at_once=at_once)
        return revisions

    def catch_up(self, tx: Transaction, noun: Hosted, stale: Sequence[Stale]) -> None:
        """Moves the resources' revisions beyond what hosts have seen of them."""
        for one in stale:
            is_it = noun.key == one.resource_id
            tx.advance(noun.table, {"revision": one.observation.revision}, is_it)
        self.revise(tx, noun, [one.resource_id for one in stale])

    def announce(
        self, tx: Transaction, noun: Hosted, revisions: Mapping[str, int], *, at_once: bool = True
    ) -> None:
        """Tells the hosts that the resources are assigned to of their new revisions."""
        assigned = Assignment.select(Assignment.host_id).where(
            Assignment.kind == noun.kind, Assignment.resource_id.in_(list(revisions))
        )
        hosts = self.move(tx, Host.host_id.in_(assigned))
        if not hosts:
            return
        tx.advance_many(
            Assignment,
            ("kind", "resource_id"),
            [
                {"kind": noun.kind, "resource_id": name, "revision": revision}
                for name, revision in revisions.items()
            ],
            sets={"position": _POSITION_OF_HOST},
            returning=Told,
        )
        if at_once:
            self.send(tx, hosts)

    def assign(
        self,
        tx: Transaction,
        assignments: Iterable[tuple[Hosted, str, str, int]],
        positions: Mapping[str, int],
        observed: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Hosts are to make resources true, or know of their new revisions: (noun, resource id,
        host id, revision) each, at the position that its host has moved to (``move``, or a
        claim). ``observed``: kind -> the word for a resource that nobody has seen yet."""
        rows = [
            {
                "kind": noun.kind,
                "resource_id": resource_id,
                "host_id": host_id,
                "role": noun.role,
                "revision": revision,
                "position": positions[host_id],
                "observed": observed.get(noun.kind, ""),
            }
            for noun, resource_id, host_id, revision in assignments
        ]
        if rows:
            key = ("kind", "resource_id", "host_id", "role")
            tx.insert(Assignment, rows, on_conflict=key, update=("revision", "position"))

    def assign_to(
        self, tx: Transaction, noun: Hosted, host_id: str, revisions: Mapping[str, int]
    ) -> None:
        """One host is to make these resources true, and is sent them at once."""
        positions = self.move(tx, Host.host_id == host_id)
        rows = [(noun, name, host_id, revision) for name, revision in revisions.items()]
        self.assign(tx, rows, positions)
        self.send(tx, positions)

    def withdraw(
        self,
        tx: Transaction,
        noun: Hosted,
        ids: Collection[str],
        host_ids: Collection[str] | None = None,
    ) -> None:
        """Hosts (all, or these) need not be told of the resources any more. What they have of them
        is gone, or goes by itself: nothing is removed by this."""
        where = [Assignment.kind == noun.kind, Assignment.resource_id.in_(list(ids))]
        if host_ids is not None:
            where.append(Assignment.host_id.in_(list(host_ids)))
        tx.delete(Assignment, *where)

    def move(self, tx: Transaction, which: Clause) -> dict[str, int]:
        """Makes an entry's place in the feeds of the hosts for which ``which`` holds: host id ->
        its new position."""
        rows = tx.advance_returning(Host, {"position": Host.position + 1}, which, returning=Moved)
        return {row.host_id: row.position for row in rows}

    def send(self, tx: Transaction, host_ids: Iterable[str]) -> None:
        """These hosts are sent what changed, once the transaction is durable."""
        if host_ids := list(host_ids):
            tx.after_commit(lambda: self._kick(host_ids))
