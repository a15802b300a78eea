"""The ledger: what survives what."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

from hostagent.compute.instance_kind import INSTANCE
from hostagent.compute.progress import DeviceFailure, InstanceProgress, Seen, note
from hostagent.kernel.kinds import Change, Record
from hostagent.kernel.ledger import TOMBSTONES_KEPT
from hostagent.ledger import VPC, HostLedger, open_file
from hostagent.network.vpc_kind import VpcProgress
from protos.cloud.v1.fleet_pb2 import (
    CHECK_PASSED,
    OBSERVED_RUNNING,
    HostSettings,
    SnapshotSpec,
    VolumeSpec,
    VpcSpec,
)
from tests.unit.hostagent.rig import HOST, instance


def opened(path, now_ms=1000, **fields) -> HostLedger:
    return HostLedger(open_file(path), HOST, now_ms=now_ms, boot_id="boot-1", **fields)


def keep(ledger, *told, position=1):
    change = Change(ledger)
    records = {one.instance_id: Record(one.spec, one.revision, InstanceProgress()) for one in told}
    change.keep(INSTANCE, records)
    change.keep(VPC, {"vpc-1": Record(VpcSpec(vpc_id="vpc-1"), position, VpcProgress())})
    ledger.commit("take-in", change, position, HostSettings(region="r"))


def forget(ledger, name):
    change = Change(ledger)
    change.drop(INSTANCE, name)
    for kind in ledger.kinds:
        kind.forgotten(kind, change, INSTANCE.key(name), ledger.instances.get(name))
    ledger.commit("forget", change)


def test_everything_is_found_again(tmp_path):
    ledger = opened(tmp_path / "l.db")
    keep(ledger, instance())
    note(ledger.instances, "i-1", Seen(OBSERVED_RUNNING, "c", "m"), revision=1, now_ms=7, started=1)
    again = opened(tmp_path / "l.db")
    assert again.instances.get("i-1").spec == instance().spec
    kept = again.instances.get("i-1").progress
    assert (kept.seen, kept.since_ms, kept.started) == (Seen(OBSERVED_RUNNING, "c", "m"), 7, 1)
    assert (again.position, again.settings.region) == (1, "r")
    assert set(again.vpcs.all()) == {"vpc-1"}


@pytest.mark.parametrize("now_ms, later", [(5000, 5000), (1000, 1001), (1, 1001)])
def test_the_epoch_grows_with_every_start_whatever_the_clock_says(tmp_path, now_ms, later):
    assert opened(tmp_path / "l.db", 1000).epoch == 1000
    assert opened(tmp_path / "l.db", now_ms).epoch == later


def test_only_looking_begins_no_epoch(tmp_path):
    epoch = opened(tmp_path / "l.db").epoch
    opened(tmp_path / "l.db", only_look=True)
    assert opened(tmp_path / "l.db").epoch == epoch + 1


def test_an_observation_is_numbered_when_it_changes(tmp_path):
    ledger = opened(tmp_path / "l.db")
    keep(ledger, instance())
    assert note(ledger.instances, "i-1", Seen(OBSERVED_RUNNING), revision=1, now_ms=7)
    number = ledger.instances.get("i-1").progress.sequence
    assert not note(ledger.instances, "i-1", Seen(OBSERVED_RUNNING), revision=1, now_ms=8)
    note(ledger.instances, "i-1", attempts=1)
    assert ledger.instances.get("i-1").progress.sequence == number
    note(ledger.instances, "i-1", reboots_done=1)
    assert ledger.instances.get("i-1").progress.sequence > number


def test_noting_what_was_forgotten_is_nothing(tmp_path):
    assert not note(opened(tmp_path / "l.db").instances, "i-1", Seen(OBSERVED_RUNNING), revision=1)


def test_tombstones_are_proof_and_bounded(tmp_path):
    ledger = opened(tmp_path / "l.db")
    keep(ledger, instance())
    forget(ledger, "i-1")
    assert ledger.was_here("i-1")
    assert ledger.was_here("vol-i-1")
    assert not ledger.was_here("i-2")
    ledger._db.executemany(
        "INSERT INTO tombstone VALUES (?, ?)", [(f"old-{n}", n) for n in range(-TOMBSTONES_KEPT, 0)]
    )
    keep(ledger, instance("i-3", revision=2), position=2)
    forget(ledger, "i-3")
    assert ledger.was_here("i-3")
    assert not ledger.was_here(f"old-{-TOMBSTONES_KEPT}")


def test_a_failed_write_changes_nothing(tmp_path):
    ledger = opened(tmp_path / "l.db")
    keep(ledger, instance())

    def full(name):
        raise OSError("disk full")

    ledger._checkpoint = full
    with pytest.raises(OSError, match="disk full"):
        note(ledger.instances, "i-1", Seen(OBSERVED_RUNNING), revision=1)
    assert ledger.instances.get("i-1").progress == InstanceProgress(epoch=1000, sequence=1)
    assert opened(tmp_path / "l.db").instances.get("i-1").progress.observed == 0


def test_another_hosts_and_a_newer_agents_ledger_are_refused(tmp_path):
    opened(tmp_path / "l.db")
    with pytest.raises(ValueError, match="belongs to host"):
        HostLedger(open_file(tmp_path / "l.db"), "h-00000000000000002", now_ms=1, boot_id="b")
    open_file(tmp_path / "l.db").execute("UPDATE host SET value = '99' WHERE key = 'schema'")
    with pytest.raises(ValueError, match="newer agent"):
        opened(tmp_path / "l.db")


def test_progress_of_a_newer_agent_is_read_as_far_as_it_is_known(tmp_path):
    ledger = opened(tmp_path / "l.db")
    keep(ledger, instance())
    ledger._db.execute('UPDATE assignment SET progress = \'{"started": 3, "colour": "red"}\'')
    assert opened(tmp_path / "l.db").instances.get("i-1").progress == InstanceProgress(started=3)


def test_what_was_taken_in_survives_kill_9(tmp_path):
    program = textwrap.dedent(f"""
        import os, signal, sys
        sys.path.insert(0, {os.getcwd()!r})
        from tests.unit.hostagent.test_ledger import instance, keep, opened
        ledger = opened({str(tmp_path / "l.db")!r})
        keep(ledger, instance())
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    assert opened(tmp_path / "l.db").instances.get("i-1").spec == instance().spec


# Tables as agents before 0.2 made them.
_V1 = """
CREATE TABLE host (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE instance (instance_id TEXT PRIMARY KEY, spec BLOB NOT NULL, progress TEXT NOT NULL);
CREATE TABLE vpc (vpc_id TEXT PRIMARY KEY, spec BLOB NOT NULL);
CREATE TABLE volume (id TEXT PRIMARY KEY, spec BLOB NOT NULL, progress TEXT NOT NULL);
CREATE TABLE snapshot (id TEXT PRIMARY KEY, spec BLOB NOT NULL, progress TEXT NOT NULL);
CREATE TABLE copied (volume_id TEXT PRIMARY KEY, number INTEGER NOT NULL, digest TEXT NOT NULL);
CREATE TABLE tombstone (name TEXT PRIMARY KEY, number INTEGER NOT NULL);
"""


def old_ledger(path):
    db = open_file(path)
    db.executescript(_V1)
    settings = HostSettings(region="r").SerializeToString().hex()
    host = {"schema": "1", "host_id": HOST, "generation": "9", "epoch": "1000"}
    db.executemany("INSERT INTO host VALUES (?, ?)", {**host, "settings": settings}.items())
    spec = instance(revision=4).spec
    spec.generation = 7
    progress = {"observed": OBSERVED_RUNNING, "generation": 7, "devices_generation": 6}
    progress |= {"network_generation": 5, "started": 1, "epoch": 900, "sequence": 3}
    progress |= {"reach": CHECK_PASSED, "reach_since_ms": 99}
    progress |= {"device_failures": [["vol-2", "busy", True]]}
    old = ("i-1", spec.SerializeToString(), json.dumps(progress))
    db.execute("INSERT INTO instance VALUES (?, ?, ?)", old)
    vpc = VpcSpec(vpc_id="vpc-1", generation=8).SerializeToString()
    db.execute("INSERT INTO vpc VALUES ('vpc-1', ?)", (vpc,))
    for name, generation in (("vol-1", 3), ("vol-kept", 0)):
        volume = VolumeSpec(volume_id=name, generation=generation).SerializeToString()
        noted = json.dumps({"generation": generation, "made": True, "tried": generation})
        db.execute("INSERT INTO volume VALUES (?, ?, ?)", (name, volume, noted))
    snapshot = SnapshotSpec(snapshot_id="snap-1", generation=2).SerializeToString()
    noted = json.dumps({"generation": 2, "number": 4})
    db.execute("INSERT INTO snapshot VALUES ('snap-1', ?, ?)", (snapshot, noted))
    db.execute("INSERT INTO copied VALUES ('vol-1', 1, 'sha256:1')")
    db.execute("INSERT INTO tombstone VALUES ('i-0', 1)")
    return db


@pytest.mark.parametrize("cut", [None, "ledger: before migrate", "ledger: after migrate"])
def test_a_ledger_of_an_older_agent_is_taken_over(tmp_path, cut):
    old_ledger(tmp_path / "l.db")
    if cut:

        def checkpoint(name):
            if name == cut:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            opened(tmp_path / "l.db", checkpoint=checkpoint)
    ledger = opened(tmp_path / "l.db")
    record = ledger.instances.get("i-1")
    assert (record.revision, record.spec) == (7, instance(revision=4).spec)
    known = record.progress
    assert (known.revision, known.devices_revision, known.network_revision) == (7, 6, 5)
    assert (known.status_check, known.status_check_since_ms) == (CHECK_PASSED, 99)
    assert (known.observed, known.started, known.sequence) == (OBSERVED_RUNNING, 1, 3)
    assert known.device_failures == (DeviceFailure("vol-2", "busy", True),)
    assert (ledger.position, ledger.settings.region, ledger.epoch) == (9, "r", 1001)
    assert ledger.vpcs.get("vpc-1").revision == 8
    volumes = ledger.volumes.all()
    assert {name: one.revision for name, one in volumes.items()} == {"vol-1": 3, "vol-kept": 0}
    assert (volumes["vol-1"].progress.made, volumes["vol-1"].progress.revision) == (True, 3)
    snapshot = ledger.snapshots.get("snap-1")
    assert (snapshot.revision, snapshot.progress.revision, snapshot.progress.number) == (2, 2, 4)
    assert ledger.copied.get("vol-1").digest == "sha256:1" and ledger.was_here("i-0")


def test_a_ledger_of_version_2_keeps_its_status_checks(tmp_path):
    ledger = opened(tmp_path / "l.db")
    keep(ledger, instance())
    db = open_file(tmp_path / "l.db")
    db.execute("UPDATE assignment SET progress = ? WHERE kind = 'instance'", ('{"reach": 2}',))
    db.execute("UPDATE host SET value = '2' WHERE key = 'schema'")
    assert opened(tmp_path / "l.db").instances.get("i-1").progress.status_check == CHECK_PASSED


def test_an_older_agents_ledger_is_not_changed_by_looking(tmp_path):
    old_ledger(tmp_path / "l.db")
    with pytest.raises(ValueError, match="older agent"):
        opened(tmp_path / "l.db", only_look=True)
    assert opened(tmp_path / "l.db").instances.get("i-1").revision == 7


def test_its_files_are_its_owners_alone_also_those_of_an_older_agent(tmp_path):
    path = tmp_path / "ledger.db"
    path.touch(mode=0o644)
    path.chmod(0o644)
    db = open_file(path)
    db.execute("CREATE TABLE specs (user_data TEXT)")
    assert {each.name: each.stat().st_mode & 0o777 for each in tmp_path.iterdir()} == {
        f"ledger.db{end}": 0o600 for end in ("", "-wal", "-shm")
    }
