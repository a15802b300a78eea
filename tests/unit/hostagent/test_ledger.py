"""The ledger: what survives what."""

import os
import subprocess
import sys
import textwrap

import pytest

from hostagent.ledger import TOMBSTONES_KEPT, Entry, Ledger, Progress, Seen, open_file
from protos.cloud.v1.fleet_pb2 import OBSERVED_RUNNING, HostSettings, VpcSpec
from tests.unit.hostagent.rig import HOST, instance


def opened(path, now_ms=1000, **fields) -> Ledger:
    return Ledger(open_file(path), HOST, now_ms=now_ms, boot_id="boot-1", **fields)


def keep(ledger, *specs, generation=1):
    entries = {spec.instance_id: Entry(spec, Progress()) for spec in specs}
    vpc = VpcSpec(vpc_id="vpc-1", generation=generation)
    ledger.take_in(entries, [vpc], generation, HostSettings(region="r"))


def test_everything_is_found_again(tmp_path):
    ledger = opened(tmp_path / "l.db")
    keep(ledger, instance())
    ledger.note("i-1", Seen(OBSERVED_RUNNING, "c", "m"), generation=1, now_ms=7, started=1)
    again = opened(tmp_path / "l.db")
    assert again.get("i-1").spec == instance()
    kept = again.get("i-1").progress
    assert (kept.seen, kept.since_ms, kept.started) == (Seen(OBSERVED_RUNNING, "c", "m"), 7, 1)
    assert (again.generation, again.settings.region) == (1, "r")
    assert set(again.vpcs()) == {"vpc-1"}


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
    assert ledger.note("i-1", Seen(OBSERVED_RUNNING), generation=1, now_ms=7)
    number = ledger.get("i-1").progress.sequence
    assert not ledger.note("i-1", Seen(OBSERVED_RUNNING), generation=1, now_ms=8)
    ledger.note("i-1", attempts=1)
    assert ledger.get("i-1").progress.sequence == number
    ledger.note("i-1", reboots_done=1)
    assert ledger.get("i-1").progress.sequence > number


def test_noting_what_was_forgotten_is_nothing(tmp_path):
    assert not opened(tmp_path / "l.db").note("i-1", Seen(OBSERVED_RUNNING), generation=1)


def test_tombstones_are_proof_and_bounded(tmp_path):
    ledger = opened(tmp_path / "l.db")
    keep(ledger, instance())
    ledger.forget("i-1")
    assert ledger.was_here("i-1")
    assert ledger.was_here("vol-i-1")
    assert not ledger.was_here("i-2")
    ledger._db.executemany(
        "INSERT INTO tombstone VALUES (?, ?)", [(f"old-{n}", n) for n in range(-TOMBSTONES_KEPT, 0)]
    )
    keep(ledger, instance("i-3", generation=2), generation=2)
    ledger.forget("i-3")
    assert ledger.was_here("i-3")
    assert not ledger.was_here(f"old-{-TOMBSTONES_KEPT}")


def test_a_failed_write_changes_nothing(tmp_path):
    ledger = opened(tmp_path / "l.db")
    keep(ledger, instance())

    def full(name):
        raise OSError("disk full")

    ledger._checkpoint = full
    with pytest.raises(OSError, match="disk full"):
        ledger.note("i-1", Seen(OBSERVED_RUNNING), generation=1)
    assert ledger.get("i-1").progress == Progress(epoch=1000, sequence=1)
    assert opened(tmp_path / "l.db").get("i-1").progress.observed == 0


def test_another_hosts_and_a_newer_agents_ledger_are_refused(tmp_path):
    opened(tmp_path / "l.db")
    with pytest.raises(ValueError, match="belongs to host"):
        Ledger(open_file(tmp_path / "l.db"), "h-00000000000000002", now_ms=1, boot_id="b")
    open_file(tmp_path / "l.db").execute("UPDATE host SET value = '99' WHERE key = 'schema'")
    with pytest.raises(ValueError, match="newer agent"):
        opened(tmp_path / "l.db")


def test_progress_of_a_newer_agent_is_read_as_far_as_it_is_known(tmp_path):
    ledger = opened(tmp_path / "l.db")
    keep(ledger, instance())
    ledger._db.execute('UPDATE instance SET progress = \'{"started": 3, "colour": "red"}\'')
    assert opened(tmp_path / "l.db").get("i-1").progress == Progress(started=3)


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
    assert opened(tmp_path / "l.db").get("i-1").spec == instance()
