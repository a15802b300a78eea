"""Takes in what hosts say: the only writer of placement.observed and placement.reach, and of what a
host says about itself.

Called by fleet/rpc for Fleet.Report and by fleet/dispatch for the answer of an Apply. One
transaction a report. Late and doubled reports touch nothing: a host's row takes only a newer
(epoch, sequence), and so does each placement.
"""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from peewee import Case

from controller.call import Call
from controller.db.prepared import prepared
from controller.db.schema import Host, HostImage, HostVpc, Placement, Snapshot
from controller.db.session import Database, Transaction
from controller.fleet import devices
from controller.fleet.heard import older
from controller.snapshots import observe as snapshots
from controller.volumes import observe as volumes
from protos.cloud.v1 import fleet_pb2
from protos.errors import CloudError, Kind

log = logging.getLogger(__name__)

OBSERVED = {
    fleet_pb2.UNSEEN: "unseen",
    fleet_pb2.PREPARING: "preparing",
    fleet_pb2.OBSERVED_RUNNING: "running",
    fleet_pb2.STOPPING: "stopping",
    fleet_pb2.OBSERVED_STOPPED: "stopped",
    fleet_pb2.EXITED: "exited",
    fleet_pb2.FAILED: "failed",
    fleet_pb2.ABSENT: "absent",
}
REACH = {
    fleet_pb2.NOT_ASKED: "",
    fleet_pb2.INITIALIZING: "initializing",
    fleet_pb2.REACHED: "passed",
    fleet_pb2.UNREACHED: "failed",
}
HAS_CONSEQUENCES = {"stopped", "exited", "failed", "absent"}
_HEARD = (Host.host_id, Host.generation, Host.epoch, Host.sequence)
PASSING = {fleet_pb2.UNSEEN, fleet_pb2.PREPARING, fleet_pb2.STOPPING}


@dataclass(frozen=True)
class Heard:
    """The host's row after a report; has_consequences: something followed, which may have moved its
    generation."""

    host_id: str
    generation: int
    epoch: int
    sequence: int
    has_consequences: bool = False


class Reports:
    """settles: what follows from what was seen (instances/settle and the like), each of a call, run
    after the report's commit, so that it is quick."""

    def __init__(self, db: Database, settles: Sequence[Callable[[Call], object]]):
        self._db, self._settles = db, settles

    def take_in(self, call: Call, report: fleet_pb2.HostReport) -> Heard:
        """Raises NOT_FOUND for a host that never joined."""
        with self._db.write(call) as tx:
            heard = self._hear(tx, report)
            if heard is None:
                return self._heard_before(tx, report)
            if report.spec_generation > heard.generation:
                heard = replace(heard, generation=self._leap(tx, report))
            ends = [self._observe(tx, report, one) for one in report.observations]
            if report.volumes:
                ends.append(volumes.take_in(tx, report))
            if report.snapshots and snapshots.take_in(tx, report):
                ends.append(True)
            if report.cached_images_known:
                self._note_images(tx, report)
            if any(ends):
                tx.after_commit(lambda: self._settle_now(call))
                heard = replace(heard, has_consequences=True)
        return heard

    def _settle_now(self, call: Call) -> None:
        """The report is taken in, whatever becomes of this: the tasks do the same in a second."""
        for settle in self._settles:
            try:
                settle(call)
            except Exception:
                log.exception("settling after a report failed")

    def take_in_answer(self, call: Call, report: fleet_pb2.HostReport) -> None:
        """The answer of an Apply: worth a transaction only where something settled; the rest comes
        with a report."""
        if any(one.observed not in PASSING for one in report.observations) or any(
            one.observed not in volumes.PASSING for one in report.volumes
        ):
            self.take_in(call, report)

    def _hear(self, tx: Transaction, report: fleet_pb2.HostReport) -> Heard | None:
        """Notes that the host lives and what it says of itself; None where something newer was
        heard before."""
        changes = {
            "last_seen_ms": tx.call.now_ms,
            "health": "up",
            "epoch": report.epoch,
            "sequence": report.sequence,
            "known_generation": report.spec_generation,
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
        rows = tx.rows(_hear_query(tuple(changes))(about=report.host_id, **changes))
        return Heard(*rows[0]) if rows else None

    def _heard_before(self, tx: Transaction, report: fleet_pb2.HostReport) -> Heard:
        row = tx.one(Host.select(*_HEARD).where(Host.host_id == report.host_id))
        if row is None:
            raise CloudError(
                Kind.NOT_FOUND,
                f"The host '{report.host_id}' has not joined",
                noun="host",
                id=report.host_id,
            )
        return Heard(*row)

    def _leap(self, tx: Transaction, report: fleet_pb2.HostReport) -> int:
        """The host knows a generation that never was here: this database is an older copy. All that
        should be on the host is said again under generations that the host takes for new."""
        generation = report.spec_generation + 1
        log.warning("host %s knows generation %s: leaping", report.host_id, report.spec_generation)
        is_it = Host.host_id == report.host_id
        tx.advance(Host, {"generation": generation, "known_generation": 0}, is_it)
        columns = ("generation", "intent_generation", "metadata_wanted")
        placed = dict.fromkeys(columns, generation)
        tx.advance(Placement, placed, Placement.host_id == report.host_id, Placement.live)
        tx.advance(HostVpc, {"generation": generation}, HostVpc.host_id == report.host_id)
        tx.advance(Snapshot, {"generation": generation}, Snapshot.host_id == report.host_id)
        volumes.leap(tx, report.host_id, generation)
        devices.leap(tx, report.host_id, generation)
        return generation

    def _observe(self, tx: Transaction, report, one: fleet_pb2.InstanceObservation) -> bool:
        """Advances a placement; answers whether something follows from it."""
        observed = OBSERVED[one.observed]
        changes = {
            "observed": observed,
            "observed_generation": one.generation,
            "devices_generation": one.devices_generation,
            "network_generation": one.network_generation,
            "epoch": report.epoch,
            "sequence": one.sequence,
            "reason_code": one.reason.code,
            "reason_message": one.reason.message,
            "since_ms": one.since_ms,
            "reboots_done": one.reboots_done,
            "reach": REACH[one.reach],
            "reach_since_ms": one.reach_since_ms,
        }
        about = {"about": one.instance_id, "host_id": report.host_id}
        ran_ms = one.since_ms if observed == "running" else 0
        before = _devices_before(tx, report, one) if one.device_failures else 0
        advanced = tx.rows(_observe_query(ran_ms=ran_ms, **about, **changes))
        if not advanced:
            return False
        if advanced[0].devices_wanted:
            devices.note_failures(tx, one, before)
        return observed in HAS_CONSEQUENCES or bool(advanced[0].devices_wanted)

    def _note_images(self, tx: Transaction, report: fleet_pb2.HostReport) -> None:
        mine = HostImage.host_id == report.host_id
        known = {row[0] for row in tx.tuples(HostImage.select(HostImage.digest).where(mine))}
        held = set(report.cached_images)
        if gone := known - held:
            tx.delete(HostImage, mine, HostImage.digest.in_(sorted(gone)))
        rows = [{"host_id": report.host_id, "digest": digest} for digest in sorted(held - known)]
        if rows:
            tx.insert(HostImage, rows)


@lru_cache(maxsize=64)
def _hear_query(columns: tuple[str, ...]) -> prepared:
    """The update of these columns of a host, where the report is newer than the newest heard."""

    def build(about, **changes):
        fields = {getattr(Host, name): changes[name] for name in columns}
        newer = older(Host, changes["epoch"], changes["sequence"])
        return Host.update(fields).where(Host.host_id == about, newer).returning(*_HEARD)

    return prepared(build, names=("about", *columns))


def _devices_before(tx: Transaction, report, one: fleet_pb2.InstanceObservation) -> int:
    """The generation whose devices the guest had when it was last heard of."""
    stay = (Placement.instance_id == one.instance_id) & (Placement.host_id == report.host_id)
    return tx.value(Placement.select(Placement.devices_generation).where(stay, Placement.live)) or 0


def _observe_build(about, host_id, ran_ms, **changes):
    first_run = Case(None, [(Placement.ran_ms == 0, ran_ms)], Placement.ran_ms)
    fields = {getattr(Placement, name): value for name, value in changes.items()}
    had, has = Placement.devices_generation, changes["devices_generation"]
    return (
        Placement.update(
            fields | {Placement.ran_ms: first_run, had: Case(None, [(had < has, has)], had)}
        )
        .where(
            Placement.instance_id == about,
            Placement.host_id == host_id,
            Placement.live,
            older(Placement, changes["epoch"], changes["sequence"]),
        )
        .returning(Placement.devices_wanted)
    )


_OBSERVED_COLUMNS = (
    "observed",
    "observed_generation",
    "devices_generation",
    "network_generation",
    "epoch",
    "sequence",
    "reason_code",
    "reason_message",
    "since_ms",
    "reboots_done",
    "reach",
    "reach_since_ms",
)
_observe_query = prepared(_observe_build, names=("about", "host_id", "ran_ms", *_OBSERVED_COLUMNS))


def _facts(facts: fleet_pb2.HostFacts) -> dict:
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
