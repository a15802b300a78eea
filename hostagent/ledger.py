"""What this host was told and how far it got: the agent's only memory across kill -9 and power
failure.

    ledger = Ledger(open_file(state_dir / "ledger.db"), host_id, now_ms=..., boot_id=...)
    ledger.take_in({...}, vpcs, generation, settings)     what should be, as last told
    ledger.note("i-1", Seen(OBSERVED_RUNNING), ...)       what is, and how far
    ledger.forget("i-1")                                  its `absent` was acknowledged

Each is one transaction. Called by sync (take_in, forget, reads), the workers (note) and vpcs
(reads). Promises: what ``take_in`` has returned from survives a power failure; so does an end
(``ended``), because a guest that powered itself off must not be started again. Other progress
survives the end of the process, and may be lost with the power: all of it can be seen anew
(docs/decisions/0200). Every method may be called from any thread.
"""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from hostagent.progress import Entry as Entry
from hostagent.progress import Progress as Progress
from hostagent.progress import Seen as Seen
from hostagent.progress import observation_of, progress_of
from hostagent.records import VOLUME_OBSERVED, Record, Records, VolumeProgress
from hostagent.snapshots.memory import SNAPSHOT_OBSERVED, CopiedVolumes, SnapshotProgress
from protos.cloud.v1 import fleet_pb2

SCHEMA_VERSION = 1
TOMBSTONES_KEPT = 10_000  # enough to recognise leftovers; older ones are reported as strangers

# volume: in its own right, or outlives its instance (then of generation 0, until it is specified).
# tombstone: a name that was here and was forgotten, proof that a leftover may be cleared away.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS host      (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS instance  (instance_id TEXT PRIMARY KEY, spec BLOB NOT NULL,
                                      progress TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS vpc       (vpc_id TEXT PRIMARY KEY, spec BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS volume    (id TEXT PRIMARY KEY, spec BLOB NOT NULL,
                                      progress TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS snapshot  (id TEXT PRIMARY KEY, spec BLOB NOT NULL,
                                      progress TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS copied    (volume_id TEXT PRIMARY KEY, number INTEGER NOT NULL,
                                      digest TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tombstone (name TEXT PRIMARY KEY, number INTEGER NOT NULL);
"""


def open_file(path: Path | str) -> sqlite3.Connection:
    """A connection fit for Ledger. ``":memory:"`` makes one that a simulation can hand to agent
    after agent.
    """
    db = sqlite3.connect(str(path), check_same_thread=False, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    return db


class Ledger:
    """See the module's head. ``checkpoint`` is called with a name just before and just after each
    commit. ``only_look`` begins no epoch: for an audit beside an agent that runs.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        host_id: str,
        *,
        now_ms: int,
        boot_id: str,
        checkpoint: Callable[[str], None] = lambda name: None,
        only_look: bool = False,
    ):
        self._db, self._checkpoint, self._lock = db, checkpoint, threading.RLock()
        self._synchronous = ""  # as this connection has it; not known yet
        self.host_id, self.boot_id = host_id, boot_id
        if db.in_transaction:  # a simulated power cut in mid-transaction
            db.execute("ROLLBACK")
        self._create_or_check(only_look)
        self._entries = {
            name: Entry(fleet_pb2.InstanceSpec.FromString(spec), progress_of(progress))
            for name, spec, progress in db.execute("SELECT * FROM instance")
        }
        self._vpcs = {
            name: fleet_pb2.VpcSpec.FromString(spec)
            for name, spec in db.execute("SELECT vpc_id, spec FROM vpc")
        }
        self.volumes: Records[VolumeProgress] = Records(
            db,
            "volume",
            fleet_pb2.VolumeSpec,
            VolumeProgress,
            VOLUME_OBSERVED,
            lock=self._lock,
            write=self._write,
            stamp=self._stamp,
        )
        self.snapshots: Records[SnapshotProgress] = Records(
            db,
            "snapshot",
            fleet_pb2.SnapshotSpec,
            SnapshotProgress,
            SNAPSHOT_OBSERVED,
            lock=self._lock,
            write=self._write,
            stamp=self._stamp,
        )
        self.copied = CopiedVolumes(db, self._lock, self._write)
        self._generation = int(self._get("generation") or 0)
        self._settings = fleet_pb2.HostSettings.FromString(
            bytes.fromhex(self._get("settings") or "")
        )
        self._sequence = 0
        self.epoch = max(int(self._get("epoch") or 0) + 1, now_ms)
        if not only_look:
            self._write("epoch", self._set, {"epoch": str(self.epoch)}, power_safe=True)

    # -- what should be ------------------------------------------------------------------------

    @property
    def generation(self) -> int:
        """All that changed up to this generation of the host is known here."""
        return self._generation

    @property
    def settings(self) -> fleet_pb2.HostSettings:
        return self._settings

    def take_in(
        self,
        instances: Mapping[str, Entry],
        vpcs: Iterable[fleet_pb2.VpcSpec],
        generation: int,
        settings: fleet_pb2.HostSettings | None,
        unused_vpcs: Iterable[str] = (),
        volumes: Mapping[str, Record[VolumeProgress]] | None = None,
        snapshots: Mapping[str, Record[SnapshotProgress]] | None = None,
    ) -> None:
        """Keeps what was told, whole or not at all. Survives a power failure once this has
        returned.
        """
        vpcs, unused = list(vpcs), list(unused_vpcs)
        with self._lock:
            stamped = {name: self._stamped(name, entry) for name, entry in instances.items()}
            host = {"generation": str(generation)}
            if settings is not None:
                host["settings"] = settings.SerializeToString().hex()
            told = self.volumes.stamped(volumes or {})
            asked = self.snapshots.stamped(snapshots or {})
            what = (stamped, vpcs, unused, host, told, asked)
            self._write("take-in", self._keep, *what, power_safe=True)
            self._entries.update(stamped)
            self.volumes.update(told)
            self.snapshots.update(asked)
            self._vpcs.update((vpc.vpc_id, vpc) for vpc in vpcs)
            for name in unused:
                self._vpcs.pop(name, None)
            self._generation, self._settings = generation, settings or self._settings

    def instances(self) -> dict[str, Entry]:
        with self._lock:
            return dict(self._entries)

    def get(self, instance_id: str) -> Entry | None:
        return self._entries.get(instance_id)

    def vpcs(self) -> dict[str, fleet_pb2.VpcSpec]:
        with self._lock:
            return dict(self._vpcs)

    # -- how far we got ------------------------------------------------------------------------

    def next_sequence(self) -> int:
        """Numbers observations and reports of this epoch in one row: a report holds what has a
        smaller number.
        """
        with self._lock:
            self._sequence += 1
            return self._sequence

    def note(
        self,
        instance_id: str,
        seen: Seen | None = None,
        *,
        generation: int = 0,
        now_ms: int = 0,
        **changes: int | str,
    ) -> bool:
        """Changes an instance's progress: its observation, made under ``generation`` (of the spec
        acted on), and the named fields. Answers whether there was anything new. Nothing happens for
        an instance that was forgotten.
        """
        with self._lock:
            entry = self._entries.get(instance_id)
            if entry is None:
                return False
            before = entry.progress
            after = replace(before, **changes)
            if seen is not None and (seen != before.seen or before.generation < generation):
                after = after.observing(seen, generation, now_ms)
            if after == before:
                return False
            entry = self._stamped(instance_id, Entry(entry.spec, after))
            power_safe = after.ended != before.ended
            self._write("note", self._set_progress, entry, power_safe=power_safe)
            self._entries[instance_id] = entry
            return True

    def forget(self, instance_id: str) -> None:
        """Drops an instance whose `absent` was acknowledged. Its volumes that outlive it, and names
        of what is gone, are kept in mind.
        """
        with self._lock:
            disks = [disk for disk in self._entries[instance_id].spec.disks if is_here(disk)]
            kept = self.volumes.stamped(
                {
                    disk.volume_id: Record(volume_of(disk), VolumeProgress())
                    for disk in disks
                    if outlives(disk) and self.volumes.get(disk.volume_id) is None
                }
            )
            gone = [disk.volume_id for disk in disks if not outlives(disk)]
            self._write("forget", self._bury, instance_id, kept, gone)
            del self._entries[instance_id]
            self.volumes.update(kept, gone)
            for volume_id in gone:
                self.copied.drop(volume_id)

    def forget_volume(self, volume_id: str) -> None:
        """Drops a volume whose end was acknowledged."""
        with self._lock:
            self._write("forget volume", self._bury_volumes, [volume_id])
            self.volumes.update({}, [volume_id])
            self.copied.drop(volume_id)

    def forget_snapshot(self, snapshot_id: str) -> None:
        """Drops a snapshot whose end was acknowledged."""
        with self._lock:
            self._write("forget snapshot", self.snapshots.drop, [snapshot_id])
            self.snapshots.update({}, [snapshot_id])

    # -- what belongs here ---------------------------------------------------------------------

    def kept_volumes(self) -> set[str]:
        """Volumes that are here for no instance of this host."""
        with self._lock:
            disks = (disk for entry in self._entries.values() for disk in entry.spec.disks)
            return set(self.volumes.all()) - {disk.volume_id for disk in disks}

    def volumes_here(self) -> set[str]:
        """Volumes at home on this host, as far as anybody has said."""
        with self._lock:
            disks = (disk for entry in self._entries.values() for disk in entry.spec.disks)
            return {disk.volume_id for disk in disks if is_here(disk)} | set(self.volumes.all())

    def images_in_use(self) -> set[str]:
        """Digests that some disk on this host stands on, or is about to."""
        with self._lock:
            sources = [disk.image for entry in self._entries.values() for disk in entry.spec.disks]
            sources += [record.spec.source for record in self.volumes.all().values()]
            return {source.digest for source in sources if source.digest}

    def source_of(self, volume_id: str) -> fleet_pb2.ImageSource | None:
        """What the volume began as; None: blank, or not known."""
        record = self.volumes.get(volume_id)
        if record is not None and record.spec.HasField("source"):
            return record.spec.source
        for entry in self.instances().values():
            for disk in entry.spec.disks:
                if disk.volume_id == volume_id and disk.HasField("image"):
                    return disk.image
        return None

    def was_here(self, name: str) -> bool:
        """Whether an instance or volume of this id was here, was torn down and forgotten: what is
        left of it is ours.
        """
        with self._lock:
            row = self._db.execute("SELECT 1 FROM tombstone WHERE name = ?", (name,)).fetchone()
            return row is not None

    # -- the database --------------------------------------------------------------------------

    def _create_or_check(self, only_look: bool) -> None:
        self._db.executescript(_SCHEMA)
        version, host_id = self._get("schema"), self._get("host_id")
        if host_id not in (None, self.host_id):
            raise ValueError(f"the ledger belongs to host {host_id}, this is {self.host_id}")
        if version is not None and int(version) > SCHEMA_VERSION:
            raise ValueError(f"the ledger was written by a newer agent (schema {version})")
        if version is None and not only_look:
            first = {"schema": str(SCHEMA_VERSION), "host_id": self.host_id}
            self._write("create", self._set, first, power_safe=True)

    def _get(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM host WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def _write(self, name: str, change: Callable, *args, power_safe: bool = False) -> None:
        """One transaction. In WAL mode NORMAL survives the process, FULL also the power; both never
        tear.
        """
        synchronous = "FULL" if power_safe else "NORMAL"
        if synchronous != self._synchronous:
            self._db.execute(f"PRAGMA synchronous = {synchronous}")
            self._synchronous = synchronous
        self._checkpoint(f"ledger: before {name}")
        self._db.execute("BEGIN IMMEDIATE")
        try:
            change(*args)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._checkpoint(f"ledger: after {name}")

    def _set(self, values: Mapping[str, str]) -> None:
        self._db.executemany("INSERT OR REPLACE INTO host VALUES (?, ?)", values.items())

    def _keep(self, entries, vpcs, unused_vpcs, host, volumes, snapshots) -> None:
        self._set(host)
        self.volumes.put(volumes)
        self.snapshots.put(snapshots)
        self._db.executemany(
            "INSERT OR REPLACE INTO instance VALUES (?, ?, ?)",
            [
                (name, entry.spec.SerializeToString(), json.dumps(vars(entry.progress)))
                for name, entry in entries.items()
            ],
        )
        self._db.executemany(
            "INSERT OR REPLACE INTO vpc VALUES (?, ?)",
            [(vpc.vpc_id, vpc.SerializeToString()) for vpc in vpcs],
        )
        self._db.executemany("DELETE FROM vpc WHERE vpc_id = ?", [(name,) for name in unused_vpcs])
        if unused_vpcs:
            self._add_tombstones(unused_vpcs)

    def _set_progress(self, entry: Entry) -> None:
        """The specification, with up to 16 KiB of user data, is not written again."""
        row = (json.dumps(vars(entry.progress)), entry.spec.instance_id)
        self._db.execute("UPDATE instance SET progress = ? WHERE instance_id = ?", row)

    def _bury(self, instance_id, kept, gone) -> None:
        self._db.execute("DELETE FROM instance WHERE instance_id = ?", (instance_id,))
        self.volumes.put(kept)
        self._add_tombstones([instance_id])
        self._bury_volumes(gone)

    def _bury_volumes(self, gone) -> None:
        self.volumes.drop(gone)
        self._add_tombstones(gone)

    def _add_tombstones(self, names: Iterable[str]) -> None:
        newest = self._db.execute("SELECT coalesce(max(number), 0) FROM tombstone").fetchone()[0]
        rows = [(name, newest + number) for number, name in enumerate(names, 1)]
        self._db.executemany("INSERT OR REPLACE INTO tombstone VALUES (?, ?)", rows)
        oldest = newest + len(rows) - TOMBSTONES_KEPT
        self._db.execute("DELETE FROM tombstone WHERE number <= ?", (oldest,))

    def _stamped(self, instance_id: str, entry: Entry) -> Entry:
        """The entry, its observation numbered when it differs from the one that is kept."""
        known = self._entries.get(instance_id)
        if known is not None and observation_of(known.progress) == observation_of(entry.progress):
            return entry
        return replace(entry, progress=replace(entry.progress, **self._stamp()))

    def _stamp(self) -> dict[str, int]:
        return {"epoch": self.epoch, "sequence": self.next_sequence()}


def is_here(disk: fleet_pb2.DiskSpec) -> bool:
    """At home on this host."""
    return not disk.HasField("remote")


def outlives(disk: fleet_pb2.DiskSpec) -> bool:
    """The volume stays when its instance ends."""
    return not (disk.delete_on_termination or disk.ephemeral)


def volume_of(disk: fleet_pb2.DiskSpec) -> fleet_pb2.VolumeSpec:
    """A volume that nobody has specified by itself yet: generation 0."""
    spec = fleet_pb2.VolumeSpec(volume_id=disk.volume_id, size_bytes=disk.size_bytes)
    spec.desired = fleet_pb2.VOLUME_PRESENT
    if disk.HasField("image"):
        spec.source.CopyFrom(disk.image)
    return spec
