"""The two messages: takes HostSpecs into the ledger, makes HostReports out of it.

    sync.take_in(spec) -> keys that changed: ("instance", id), ("vpc", id), ("volume", id),
                                    ("snapshot", id)
    sync.report() -> HostReport          all that the controller has not acknowledged
    sync.said(report)                    it has been handed over: it need not be said soon again
    sync.has_news() -> bool              something settled that was never said

Called by agent. Level-triggered: a message lost, late or doubled changes nothing in the end. The
rules for a spec (fleet.proto):
- another host's is refused; so is a delta that leaves a gap (base newer than what is known here):
  the report's spec_generation then tells the controller from where on to say it again
- of an instance, a VPC, a volume or a snapshot the newer generation counts
- absence deletes nothing. What is unknown here and older than what the ledger knows was forgotten:
  a late message does not bring it back
- an ABSENT instance and a volume that is GONE are forgotten when the controller has acknowledged
  just that
"""

import logging
import threading
from collections.abc import Callable, Iterable

from hostagent import volume_sync
from hostagent.ledger import Entry, Ledger, Progress, Seen, outlives
from hostagent.records import VolumeProgress
from hostagent.snapshots import sync as snapshot_sync
from hostagent.table import start_of
from protos.cloud.v1 import fleet_pb2
from protos.errors import CloudError, Kind

log = logging.getLogger(__name__)

# On its way somewhere: said with the next report, not worth one of its own.
_PASSING = (fleet_pb2.UNSEEN, fleet_pb2.PREPARING, fleet_pb2.STOPPING)


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

    def take_in(self, spec: fleet_pb2.HostSpec) -> set[tuple[str, str]]:
        """Durable when it returns. Raises CloudError (INVALID, "wrong-host") for another host's."""
        if spec.host_id != self._ledger.host_id:
            raise CloudError(
                Kind.INVALID,
                f"This is host {self._ledger.host_id}, not {spec.host_id}.",
                noun="host",
                id=spec.host_id,
                reason="wrong-host",
            )
        with self._lock:
            changed = set()
            if spec.base <= self._ledger.generation:
                changed = self._merge(spec)
            else:
                known = self._ledger.generation
                log.warning("told from %d on, but %d is known: asking again", spec.base, known)
            return changed | self._acknowledge(spec.acknowledged_epoch, spec.acknowledged_sequence)

    def _merge(self, spec: fleet_pb2.HostSpec) -> set[tuple[str, str]]:
        known = self._ledger.instances()
        instances = {
            told.instance_id: self._entry(told, known.get(told.instance_id))
            for told in spec.instances
            if self._is_news(told, known.get(told.instance_id))
        }
        here = self._ledger.vpcs()
        vpcs = {
            vpc.vpc_id: vpc
            for vpc in spec.vpcs
            if vpc.vpc_id not in here or here[vpc.vpc_id].generation < vpc.generation
        }
        needed = {
            nic.vpc_id for entry in {**known, **instances}.values() for nic in entry.spec.nics
        }
        unused = (set(here) | set(vpcs)) - needed
        vpcs = {name: vpc for name, vpc in vpcs.items() if name in needed}
        volumes = volume_sync.merged(self._ledger, spec.volumes, instances)
        snapshots = snapshot_sync.merged(self._ledger, spec.snapshots)
        generation = max(spec.generation, self._ledger.generation)
        settings = spec.settings if spec.HasField("settings") else None
        same = generation == self._ledger.generation and settings in (None, self._ledger.settings)
        unused &= set(here)
        if instances or vpcs or unused or volumes or snapshots or not same:
            others = (unused, volumes, snapshots)
            self._ledger.take_in(instances, vpcs.values(), generation, settings, *others)
        touched = {nic.vpc_id for entry in instances.values() for nic in entry.spec.nics}
        return (
            {("instance", name) for name in instances}
            | {("vpc", name) for name in touched | set(vpcs)}
            | {("volume", name) for name in volumes}
            | {("snapshot", name) for name in snapshots}
        )

    def _is_news(self, told: fleet_pb2.InstanceSpec, known: Entry | None) -> bool:
        if told.desired not in (fleet_pb2.RUNNING, fleet_pb2.STOPPED, fleet_pb2.TERMINATED):
            log.error("%s: told to be %d, which is nothing", told.instance_id, told.desired)
            return False
        if known is not None:
            return known.spec.generation < told.generation
        ends = told.desired == fleet_pb2.TERMINATED
        return ends or told.generation > self._ledger.generation

    def _entry(self, told: fleet_pb2.InstanceSpec, known: Entry | None) -> Entry:
        if known is None and told.generation <= self._ledger.generation:
            told = _ended_again(told)
        progress = known.progress if known else Progress(since_ms=self._clock())
        observed = _seen_at_once(told, known)
        if observed is not None:
            progress = progress.observing(Seen(observed), told.generation, self._clock())
        return Entry(told, progress)

    def _acknowledge(self, epoch: int, sequence: int) -> set[tuple[str, str]]:
        """What was said up to there has arrived. An earlier epoch's word can only forget. Answers
        who was forgotten.
        """
        if epoch == self._ledger.epoch:
            self._acknowledged = max(self._acknowledged, (epoch, sequence))
        forgotten = set()
        for instance_id, entry in self._ledger.instances().items():
            noted = (entry.progress.epoch, entry.progress.sequence)
            if entry.progress.observed == fleet_pb2.ABSENT and noted <= (epoch, sequence):
                self._ledger.forget(instance_id)
                forgotten.add(("instance", instance_id))
        forgotten |= volume_sync.forget(self._ledger, epoch, sequence)
        return forgotten | snapshot_sync.forget(self._ledger, epoch, sequence)

    # -- what is -------------------------------------------------------------------------------

    def report(self) -> fleet_pb2.HostReport:
        """All that is not acknowledged; all there is, until something of this epoch was."""
        with self._lock:
            told = self._ledger.generation
            report = fleet_pb2.HostReport(
                host_id=self._ledger.host_id,
                epoch=self._ledger.epoch,
                sequence=self._ledger.next_sequence(),
                spec_generation=0 if self._vpc_is_missing() else told,
                observations=[
                    self._observation(name, entry.progress)
                    for name, entry in sorted(self._ledger.instances().items())
                    if self._is_unacknowledged(entry.progress)
                ],
                usage=self._usage(),
                volumes=[
                    volume_sync.observation(name, record, self._ledger.epoch)
                    for name, record in sorted(self._ledger.volumes.all().items())
                    if record.spec.generation and self._is_unacknowledged(record.progress)
                ],
                snapshots=[
                    snapshot_sync.observation(name, record, self._ledger.epoch)
                    for name, record in sorted(self._ledger.snapshots.all().items())
                    if self._is_unacknowledged(record.progress)
                ],
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
            said = self._said
            instances = any(
                entry.progress.epoch == self._ledger.epoch
                and entry.progress.sequence > said
                and entry.progress.observed not in _PASSING
                for entry in self._ledger.instances().values()
            )
            others = (volume_sync, snapshot_sync)
            return instances or any(other.has_news(self._ledger, said) for other in others)

    def set_orphans(self, names: Iterable[str]) -> None:
        """Domains here that no spec ever named, as the last look at the hypervisor found them."""
        self._orphans = tuple(sorted(names))

    def _vpc_is_missing(self) -> bool:
        """An instance needs a VPC that nobody described: the whole truth is asked for."""
        here = self._ledger.vpcs()
        return any(
            nic.vpc_id not in here
            for entry in self._ledger.instances().values()
            if entry.spec.desired == fleet_pb2.RUNNING
            for nic in entry.spec.nics
        )

    def _is_unacknowledged(self, progress: Progress | VolumeProgress) -> bool:
        if self._acknowledged[0] != self._ledger.epoch:
            return True
        return (progress.epoch, progress.sequence) > self._acknowledged

    def _observation(self, name: str, progress: Progress) -> fleet_pb2.InstanceObservation:
        this_epoch = progress.epoch == self._ledger.epoch
        observation = fleet_pb2.InstanceObservation(
            instance_id=name,
            generation=progress.generation,
            observed=progress.observed,
            since_ms=progress.since_ms,
            reboots_done=progress.reboots_done,
            sequence=progress.sequence if this_epoch else 0,
            reach=progress.reach,
            reach_since_ms=progress.reach_since_ms,
            devices_generation=progress.devices_generation,
            device_failures=[
                fleet_pb2.DeviceFailure(id=each.id, message=each.message, busy=each.busy)
                for each in progress.device_failures
            ],
            network_generation=progress.network_generation,
        )
        if progress.code:
            observation.reason.code = progress.code
            observation.reason.message = progress.message
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


def _ended_again(told: fleet_pb2.InstanceSpec) -> fleet_pb2.InstanceSpec:
    """The end of an instance that was forgotten: volumes that stayed are kept, or went, since."""
    spec = fleet_pb2.InstanceSpec()
    spec.CopyFrom(told)
    del spec.disks[:]
    spec.disks.extend(disk for disk in told.disks if not outlives(disk))
    return spec


def _seen_at_once(spec: fleet_pb2.InstanceSpec, entry: Entry | None) -> int | None:
    """What an instance is, by the mere taking in of ``spec``: saves a report of its own. None: as
    it was.
    """
    observed = entry.progress.observed if entry else fleet_pb2.UNSEEN
    if spec.desired == fleet_pb2.RUNNING:
        ended = entry is not None and entry.progress.ended >= start_of(spec)
        at_rest = observed in (
            fleet_pb2.UNSEEN,
            fleet_pb2.OBSERVED_STOPPED,
            fleet_pb2.EXITED,
            fleet_pb2.FAILED,
        )
        return fleet_pb2.PREPARING if at_rest and not ended else None
    if spec.desired in (fleet_pb2.STOPPED, fleet_pb2.TERMINATED) and observed in (
        fleet_pb2.PREPARING,
        fleet_pb2.OBSERVED_RUNNING,
    ):
        return fleet_pb2.STOPPING
    return None
