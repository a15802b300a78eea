"""The two messages: takes HostSpecs into the ledger, makes HostReports out of it.

    sync.take_in(spec) -> keys whose workers should look
    sync.report() -> HostReport          all that the controller has not acknowledged
    sync.said(report)                    it has been handed over: it need not be said soon again
    sync.has_news() -> bool              something settled that was never said

Called by agent. Level-triggered: a message lost, late or doubled changes nothing in the end. The
rules for a spec (fleet.proto, docs/decisions/0003):
- another host's is refused
- one that leaves a gap (base behind what is known here) is refused whole: the report's position
  tells the controller from where on to say it again
- one that is not behind the ledger's position says nothing new: its assignments are passed over. A
  whole truth (base 0) of just that position is looked through, as somebody may have asked for it;
  of what was forgotten, it brings back nothing
- of an assignment the newer revision counts, what is unknown is taken in, absence deletes nothing
- what is told under a revision not behind ours is said again: the controller's database may be an
  older copy, that lacks what was acknowledged. Where ours is the newer one, it stays, and the
  controller moves behind it
- what is over is forgotten when the controller has acknowledged just that
- a controller that was told more than its database has asks for everything: it is told as by the
  first report of an epoch
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator

from hostagent.kernel.kinds import AnyKind, Change, Key, Kind, P, Record, S
from hostagent.kernel.ledger import Ledger
from protos.cloud.v1 import fleet_pb2
from protos.errors import CloudError
from protos.errors import Kind as ErrorKind

log = logging.getLogger(__name__)


class Sync:
    """See the module's head. Any thread may call any method."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Callable[[], int],
        facts: Callable[[], fleet_pb2.HostFacts],
        usage: Callable[[], fleet_pb2.HostUsage],
        cached_images: Callable[[], Iterable[str]],
    ):
        self._ledger, self._clock = ledger, clock
        self._facts, self._usage, self._cached_images = facts, usage, cached_images
        self._lock = threading.RLock()
        self._acknowledged = (0, 0)  # of this epoch only; after a restart all is said again
        self._said = 0  # highest sequence handed over
        self._orphans: tuple[str, ...] | None = None
        self._host_said: dict[str, tuple[bytes, int]] = {}  # part -> (content, first said in)

    # -- what should be ------------------------------------------------------------------------

    def take_in(self, spec: fleet_pb2.HostSpec) -> set[Key]:
        """Durable when it returns. Raises CloudError (INVALID, "wrong-host") for another host's."""
        if spec.host_id != self._ledger.host_id:
            raise CloudError(
                ErrorKind.INVALID,
                f"This is host {self._ledger.host_id}, not {spec.host_id}.",
                noun="host",
                id=spec.host_id,
                reason="wrong-host",
            )
        with self._lock:
            if spec.say_everything:
                self._say_everything()
            due: set[Key] = set()
            known = self._ledger.position
            if spec.base > known:
                log.warning("told from %d on, but %d is known: asking again", spec.base, known)
            else:
                due = self._take_in(spec)
            return due | self._acknowledge(spec.acknowledged_epoch, spec.acknowledged_sequence)

    def _take_in(self, spec: fleet_pb2.HostSpec) -> set[Key]:
        ledger = self._ledger
        change = Change(ledger, spec.position > ledger.position, self._clock())
        if change.is_newer or (spec.base == 0 and spec.position == ledger.position):
            self._merge(change, spec)
        settings = spec.settings if spec.HasField("settings") else None
        settings = None if settings == ledger.settings else settings
        if change or change.is_newer or settings is not None:
            position = max(spec.position, ledger.position)
            ledger.commit("take-in", change, position, settings)
        return change.touched()

    def _merge(self, change: Change, spec: fleet_pb2.HostSpec) -> None:
        told: dict[AnyKind, list[fleet_pb2.Assignment]] = {kind: [] for kind in self._ledger.kinds}
        by_name = {(kind.name, kind.role): kind for kind in self._ledger.kinds}
        for one in spec.assignments:
            kind = by_name.get((one.kind, one.role))
            if kind is None:
                log.error("%s: this agent knows no %s in the role %r", one.id, one.kind, one.role)
            else:
                told[kind].append(one)
        for kind, assignments in told.items():
            news = dict(self._news(kind, change, assignments))
            kind.merge(kind, change, news)

    def _news(
        self, kind: Kind[S, P], change: Change, assignments: Iterable[fleet_pb2.Assignment]
    ) -> Iterator[tuple[str, Record[S, P]]]:
        """Those that are to be taken in."""
        for one in assignments:
            spec, known = kind.spec_of(one), self._ledger.of(kind).get(one.id)
            if spec is None or not kind.is_sound(spec):
                log.error("%s: told of a %s that cannot be made true", one.id, one.kind)
            elif known is None:
                if change.is_newer or kind.returns(spec):
                    yield one.id, Record(spec, one.revision, kind.progress_type())
            else:
                if change.is_newer and one.revision <= known.revision:
                    change.again.add(kind.key(one.id))
                same = one.revision == known.revision and change.is_newer
                if one.revision > known.revision or (same and spec != known.spec):
                    yield one.id, Record(spec, one.revision, known.progress)

    def _acknowledge(self, epoch: int, sequence: int) -> set[Key]:
        """What was said up to there has arrived. An earlier epoch's word can only forget. Answers
        what was forgotten, and what goes with it.
        """
        if epoch == self._ledger.epoch:
            self._acknowledged = max(self._acknowledged, (epoch, sequence))
        due: set[Key] = set()
        for kind in self._ledger.kinds:
            for name, record in self._ledger.of(kind).all().items():
                noted = (record.progress.epoch, record.progress.sequence)
                if noted <= (epoch, sequence) and kind.is_over(record, self._ledger):
                    due |= self._forget(kind, name, record)
        return due

    def _forget(self, kind: Kind[S, P], name: str, record: Record[S, P]) -> set[Key]:
        change = Change(self._ledger)
        change.drop(kind, name)
        for each in self._ledger.kinds:
            each.forgotten(each, change, kind.key(name), record)
        self._ledger.commit(f"forget {kind.name}", change)
        return change.touched()

    # -- what is -------------------------------------------------------------------------------

    def report(self) -> fleet_pb2.HostReport:
        """All that is not acknowledged; all there is, until something of this epoch was. Its
        position is 0, which asks for the whole truth, where something is lacking here."""
        with self._lock:
            ledger = self._ledger
            lacks = any(kind.lacks(kind, ledger) for kind in ledger.kinds)
            report = fleet_pb2.HostReport(
                host_id=ledger.host_id,
                epoch=ledger.epoch,
                sequence=ledger.next_sequence(),
                position=0 if lacks else ledger.position,
                acknowledged_epoch=self._acknowledged[0],
                acknowledged_sequence=self._acknowledged[1],
                observations=[
                    self._observation(kind, name, record)
                    for kind in ledger.kinds
                    for name, record in sorted(ledger.of(kind).all().items())
                    if record.revision and self._is_unacknowledged(record)
                ],
                usage=self._usage(),
            )
            self._add_host(report)
            return report

    def said(self, report: fleet_pb2.HostReport) -> None:
        """The report went out. Should it be lost, the next one holds the same."""
        with self._lock:
            self._said = max(self._said, report.sequence)

    def has_news(self) -> bool:
        """Whether something settled (running, stopped, absent ...) that no report held yet, or the
        host is another than was said (its hypervisor is back).
        """
        with self._lock:
            facts, _ = self._host_said.get("facts", (None, 0))
            if facts is not None and facts != self._serialized_facts():
                return True
            epoch, said = self._ledger.epoch, self._said
            return any(
                record.progress.sequence > said
                and record.progress.epoch == epoch
                and record.revision
                and kind.is_settled(record)
                for kind in self._ledger.kinds
                for record in self._ledger.of(kind).all().values()
            )

    def set_orphans(self, names: Iterable[str]) -> None:
        """Domains here that no spec ever named, as the last look at the hypervisor found them."""
        self._orphans = tuple(sorted(names))

    def _say_everything(self) -> None:
        """What was acknowledged is known to nobody any more: the next report is as an epoch's first
        one, and soon."""
        log.warning("the controller's database is an older copy: all is said again")
        self._acknowledged, self._said = (0, 0), 0
        self._host_said.clear()

    def _is_unacknowledged(self, record: Record[S, P]) -> bool:
        if self._acknowledged[0] != self._ledger.epoch:
            return True
        return (record.progress.epoch, record.progress.sequence) > self._acknowledged

    def _observation(
        self, kind: Kind[S, P], name: str, record: Record[S, P]
    ) -> fleet_pb2.Observation:
        this_epoch = record.progress.epoch == self._ledger.epoch
        observation = fleet_pb2.Observation(
            kind=kind.name,
            id=name,
            role=kind.role,
            revision=record.progress.revision,
            sequence=record.progress.sequence if this_epoch else 0,
        )
        kind.observe(record, observation)
        return observation

    def _add_host(self, report: fleet_pb2.HostReport) -> None:
        """Facts, orphans and cached images, until they are acknowledged as they are now."""
        facts = self._serialized_facts()
        if self._is_host_news("facts", facts, report):
            report.facts.ParseFromString(facts)
        images = sorted(self._cached_images())
        if self._is_host_news("images", "\n".join(images).encode(), report):
            report.cached_images.extend(images)
            report.cached_images_known = True
        if self._orphans is not None:
            names = "\n".join(self._orphans).encode()
            if self._is_host_news("orphans", names, report):
                report.orphans.extend(self._orphans)
                report.orphans_known = True

    def _serialized_facts(self) -> bytes:
        return self._facts().SerializeToString(deterministic=True)

    def _is_host_news(self, part: str, content: bytes, report: fleet_pb2.HostReport) -> bool:
        known, first_said = self._host_said.get(part, (None, 0))
        if known != content:
            self._host_said[part] = (content, report.sequence)
            return True
        return (report.epoch, first_said) > self._acknowledged
