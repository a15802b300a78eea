"""Takes in what hosts say: the only writer of assignment.observed, and of what a host says about
itself.

Called by hosts/rpc for Fleet.Report and by hosts/delivery for the answer of an Apply. One
transaction a report, and one statement for all that it has observed. Late and doubled reports touch
nothing: a host's row takes only a newer (epoch, sequence), and so does each assignment.
"""

import json
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from peewee import Update

from controller.hosts import strangers
from controller.hosts.kinds import Kind, Stale
from controller.kernel.call import Call
from controller.kernel.database import Database, Transaction
from controller.kernel.prepared import prepared
from controller.kernel.rows import columns
from controller.tables.hosts import Assignment, Host
from controller.tables.nouns import Hosted
from controller.tables.storage import HostImage
from protos.cloud.v1 import fleet_pb2
from protos.errors import CloudError
from protos.errors import Kind as ErrorKind

log = logging.getLogger(__name__)

# An observation is taken in where it is newer than the newest that was.
_NEWER = "old.epoch < new.epoch OR (old.epoch = new.epoch AND old.sequence < new.sequence)"


class HostRow(NamedTuple):
    host_id: str
    position: int
    epoch: int
    sequence: int


class PositionRow(NamedTuple):
    position: int


class Advanced(NamedTuple):
    """An assignment that took in what was observed, and the resource's revision."""

    kind: str
    resource_id: str
    role: str
    revision: int


@dataclass(frozen=True)
class Received:
    """The host's row after a report; has_consequences: something followed, which may have moved its
    position. forgotten: this database is an older copy than what the host was acknowledged; the
    report was not taken in, and the host is to say everything."""

    host_id: str
    position: int
    epoch: int
    sequence: int
    has_consequences: bool = False
    forgotten: bool = False


class Reports:
    """reconcilers: what follows from what was seen (compute/instances/reconcile and the like), each
    of a call, run after the report's commit, so that it is quick. heard(host_id, epoch, sequence):
    told of each report that was taken in (hosts/health)."""

    def __init__(
        self,
        db: Database,
        kinds: Sequence[Kind],
        reconcilers: Sequence[Callable[[Call], object]],
        heard: Callable[[str, int, int], None],
    ):
        self._db, self._reconcilers, self._heard = db, reconcilers, heard
        self._kinds = {kind.noun.kind: kind for kind in kinds}

    def take_in(self, call: Call, report: fleet_pb2.HostReport) -> Received:
        """Takes in a host's report. Raises NOT_FOUND for a host that never joined."""
        with self._db.write(call) as tx:
            received = self._receive(tx, report)
            if received is None:
                return self._received_before(tx, report)
            number = report.epoch, report.sequence
            tx.after_commit(lambda: self._heard(report.host_id, *number))
            if report.position > received.position:
                position = _say_all_again(tx, report, received.position)
                received = replace(received, position=position)
            elif says_everything(report):
                received = replace(received, position=_tell_everything(tx, report))
            if self._observe(tx, report):
                tx.after_commit(lambda: self._reconcile_now(call))
                received = replace(received, has_consequences=True)
            if report.cached_images_known:
                _note_images(tx, report)
        return received

    def _reconcile_now(self, call: Call) -> None:
        """Reconciles after a report. A failure is logged: the tasks do the same in a second."""
        for reconcile in self._reconcilers:
            try:
                reconcile(call)
            except Exception:
                log.exception("reconciling after a report failed")

    def take_in_answer(self, call: Call, report: fleet_pb2.HostReport) -> None:
        """Takes in the answer of an Apply that tells of an end state; the rest comes later."""
        for one in report.observations:
            kind = self._kinds.get(one.kind)
            if kind is not None and kind.word(one) not in kind.passing:
                self.take_in(call, report)
                return

    def _receive(self, tx: Transaction, report: fleet_pb2.HostReport) -> Received | None:
        """Notes that the host lives and what it says of itself; None where a newer report came
        before."""
        changes: dict[str, object] = {
            "last_seen_ms": tx.call.now_ms,
            "health": "up",
            "epoch": report.epoch,
            "sequence": report.sequence,
            "known_position": report.position,
        }
        if report.HasField("facts"):
            changes |= _facts(report.facts)
        if report.HasField("usage"):
            changes |= {
                "load_1m": f"{report.usage.load_1m:.2f}",
                "memory_available_mib": report.usage.memory_available_mib,
                "disk_free_gib": report.usage.disk_free_gib,
            }
        if report.orphans_known:
            changes["orphans"] = json.dumps(sorted(report.orphans))
        known_epoch, known_sequence = _acknowledged(report)
        query = _receive_query(tuple(changes))
        where = {"about": report.host_id, "known_epoch": known_epoch, "known": known_sequence}
        row = tx.one(query(**where, **changes), HostRow)
        return Received(*row) if row else None

    def _received_before(self, tx: Transaction, report: fleet_pb2.HostReport) -> Received:
        query = Host.select(*columns(HostRow, Host))
        row = tx.one(query.where(Host.host_id == report.host_id), HostRow)
        if row is None:
            raise CloudError(
                ErrorKind.NOT_FOUND,
                f"The host '{report.host_id}' has not joined",
                noun="host",
                id=report.host_id,
            )
        if (row.epoch, row.sequence) >= _acknowledged(report):
            return Received(*row)
        _say_all_again(tx, report, row.position)
        lives = {"last_seen_ms": tx.call.now_ms, "health": "up"}
        tx.advance(Host, lives, Host.host_id == row.host_id)
        return Received(*row, forgotten=True)

    def _observe(self, tx: Transaction, report: fleet_pb2.HostReport) -> bool:
        """Takes in all that was observed; answers whether something may follow from it."""
        known = [one for one in report.observations if one.kind in self._kinds]
        advanced = {
            (row.kind, row.resource_id, row.role): row.revision
            for row in tx.advance_many(
                Assignment,
                ("kind", "resource_id", "host_id", "role"),
                [self._row(report, one) for one in known],
                guard=_NEWER,
                returning=Advanced,
            )
        }
        self._note_strangers(tx, report, known, advanced)
        follows = False
        for name, kind in self._kinds.items():
            mine = {
                (one.kind, one.id, one.role): one
                for one in known
                if one.kind == name and (one.kind, one.id, one.role) in advanced
            }
            stale = [
                Stale(one.id, one) for key, one in mine.items() if one.revision > advanced[key]
            ]
            if stale:
                log.warning("%s of %s were seen as they never were here", stale, report.host_id)
                kind.catch_up(tx, stale)
            if mine:
                follows |= kind.observe(tx, report.host_id, list(mine.values()))
        return follows

    def _note_strangers(
        self,
        tx: Transaction,
        report: fleet_pb2.HostReport,
        known: Sequence[fleet_pb2.Observation],
        advanced: Collection[tuple[str, str, str]],
    ) -> None:
        """What was observed of things that are not assigned to the host. Nothing is asked where
        all that it says is news of what is."""
        rest = [one for one in known if (one.kind, one.id, one.role) not in advanced]
        strange = strangers.unassigned(tx, report.host_id, rest)
        everything = says_everything(report)
        if not strange and not everything:
            return
        living, ended = [], []
        for one in strange:
            kind = self._kinds[one.kind]
            if kind.word(one) in kind.over:
                ended.append((one.kind, one.id, one.role))
            else:
                living.append(one)
        strangers.note(tx, report.host_id, living, ended, everything=everything)

    def _row(self, report: fleet_pb2.HostReport, one: fleet_pb2.Observation) -> dict[str, object]:
        return {
            "kind": one.kind,
            "resource_id": one.id,
            "host_id": report.host_id,
            "role": one.role,
            "observed": self._kinds[one.kind].word(one),
            "observed_revision": one.revision,
            "epoch": report.epoch,
            "sequence": one.sequence,
            "reason_code": one.reason.code,
            "reason_message": one.reason.message,
            "since_ms": one.since_ms,
        }


def says_everything(report: fleet_pb2.HostReport) -> bool:
    """It is the first of an epoch, or of those since the host was asked; it is told everything,
    too: who knows what it was told by the database that this is a copy of."""
    return report.acknowledged_epoch != report.epoch


def _tell_everything(tx: Transaction, report: fleet_pb2.HostReport) -> int:
    """What it is told is news, so that it takes in also what it has not or has forgotten."""
    is_it = Host.host_id == report.host_id
    (row,) = tx.advance_returning(
        Host, {"position": Host.position + 1}, is_it, returning=PositionRow
    )
    return row.position


def _say_all_again(tx: Transaction, report: fleet_pb2.HostReport, known: int) -> int:
    """The host holds a position, or an acknowledgement, that never was here: this database is an
    older copy. Its feed goes on behind what both know, with all of its assignments; revisions that
    are behind move as the host reports them (Kind.catch_up). Answers the new position."""
    position = max(known, report.position) + 1
    log.warning(
        "host %s knows position %s and was acknowledged report %s: this database is an older copy; "
        "all is said again",
        *(report.host_id, report.position, _acknowledged(report)),
    )
    is_it = Host.host_id == report.host_id
    tx.advance(Host, {"position": position, "known_position": 0}, is_it)
    tx.advance(Assignment, {"position": position}, Assignment.host_id == report.host_id)
    return position


def _note_images(tx: Transaction, report: fleet_pb2.HostReport) -> None:
    mine = HostImage.host_id == report.host_id
    known = set(tx.column(HostImage.select(HostImage.digest).where(mine), str))
    held = set(report.cached_images)
    if gone := known - held:
        tx.delete(HostImage, mine, HostImage.digest.in_(sorted(gone)))
    rows = [{"host_id": report.host_id, "digest": digest} for digest in sorted(held - known)]
    if rows:
        tx.insert(HostImage, rows)


@lru_cache(maxsize=64)
def _receive_query(changed: tuple[str, ...]) -> prepared:
    """The update of these columns of a host, where the report is newer than the newest received,
    and not of a host that was acknowledged a newer one."""

    def build(about: object, known_epoch: object, known: object, **changes: object) -> Update:
        fields = {getattr(Host, name): changes[name] for name in changed}
        epoch, sequence = changes["epoch"], changes["sequence"]
        newer = (Host.epoch < epoch) | ((Host.epoch == epoch) & (Host.sequence < sequence))
        kept = (Host.epoch > known_epoch) | ((Host.epoch == known_epoch) & (Host.sequence >= known))
        return (
            Host.update(fields)
            .where(Host.host_id == about, newer, kept)
            .returning(*columns(HostRow, Host))
        )

    return prepared(build, names=("about", "known_epoch", "known", *changed))


def _acknowledged(report: fleet_pb2.HostReport) -> tuple[int, int]:
    return report.acknowledged_epoch, report.acknowledged_sequence


def suppose(
    tx: Transaction, noun: Hosted, ids: Collection[str], observed: str, message: str
) -> None:
    """Notes what is taken for true of resources while their hosts say nothing. It gives way to
    whatever those say next."""
    supposed = {"observed": observed, "reason_message": message}
    where = Assignment.kind == noun.kind, Assignment.resource_id.in_(list(ids))
    tx.advance(Assignment, supposed, *where)


def _facts(facts: fleet_pb2.HostFacts) -> dict[str, object]:
    """The zone is the join token's word, and the name too: what a host says of itself does not move
    it."""
    return {
        "endpoint": facts.endpoint,
        "hypervisor": facts.hypervisor,
        "hypervisor_away": facts.hypervisor_away,
        "architecture": facts.architecture,
        "version": facts.version,
        "features": json.dumps(list(facts.features)),
        "volume_endpoint": facts.volume_endpoint,
        "vcpus": facts.vcpus,
        "memory_mib": facts.memory_mib,
        "disk_gib": facts.disk_gib,
    }
