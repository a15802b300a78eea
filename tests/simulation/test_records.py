"""What the auditor's rows are kept for: until a table that they are of is changed."""

import sqlite3

import pytest

from tests.harness.records import Records


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "database"
    with sqlite3.connect(path) as db:
        db.executescript(SCHEMA)
    return path


SCHEMA = """
PRAGMA journal_mode = wal;
CREATE TABLE volume (volume_id TEXT PRIMARY KEY);
CREATE TABLE attachment (device_id TEXT, instance_id, device_name, detaching, failed,
  delete_on_termination, attachment_id);
CREATE TABLE network_interface (network_interface_id TEXT);
CREATE TABLE placement (instance_id TEXT, host_id TEXT);
CREATE TABLE assignment (kind, resource_id, host_id, observed, observed_revision, epoch, sequence);
CREATE TABLE parent (id TEXT PRIMARY KEY);
CREATE TABLE child (id TEXT REFERENCES parent (id) ON DELETE CASCADE);
INSERT INTO parent VALUES ('a'), ('b');
INSERT INTO child VALUES ('a'), ('b');
"""


@pytest.fixture
def controller(file):
    db = sqlite3.connect(file, isolation_level=None)
    db.execute("PRAGMA foreign_keys = 1")
    yield db
    db.close()


@pytest.fixture
def records(file, controller):
    """It hears the controller."""
    made = Records(file)
    controller.set_trace_callback(made.hears)
    yield made
    made.close()


def test_rows_are_read_again_where_their_table_was_changed(records, controller):
    parents, children = records.table("parent"), records.table("child")
    controller.execute("INSERT INTO parent VALUES ('c')")
    assert records.table("child") is children
    assert [row["id"] for row in records.table("parent")] == ["a", "b", "c"]
    assert parents is not records.table("parent")


def test_what_goes_by_itself_is_seen_to_go(records, controller):
    assert len(records.table("child")) == 2
    controller.execute("DELETE FROM parent WHERE id = 'a'")
    assert [row["id"] for row in records.table("child")] == ["b"]


def test_a_view_is_of_what_is_behind_it(records, controller):
    controller.execute("INSERT INTO volume VALUES ('vol-1')")
    assert [row["instance_id"] for row in records.table("held_volume")] == [None]
    controller.execute("INSERT INTO attachment (device_id, instance_id) VALUES ('vol-1', 'i-1')")
    assert [row["instance_id"] for row in records.table("held_volume")] == ["i-1"]


def test_a_change_of_nobody_that_is_heard_is_one_of_everything(records, file):
    records.table("parent")
    with sqlite3.connect(file) as stranger:
        stranger.execute("DELETE FROM parent WHERE id = 'a'")
    assert [row["id"] for row in records.table("parent")] == ["b"]


def test_what_was_rolled_back_does_not_stand_for_what_was_not(records, controller, file):
    records.table("parent"), records.table("child")
    controller.execute("BEGIN")
    controller.execute("DELETE FROM parent WHERE id = 'a'")
    controller.execute("ROLLBACK")
    assert len(records.table("parent")) == 2
    with sqlite3.connect(file) as stranger:
        stranger.execute("DELETE FROM child")
    assert not records.table("child")


def test_only_other_answers_are_told_of(records, controller):
    parents, children = 'SELECT * FROM "parent"', 'SELECT * FROM "child"'
    records.table("parent"), records.table("child")
    assert records.renewed({parents, children}) == set()
    controller.execute("UPDATE child SET id = id")
    controller.execute("INSERT INTO parent VALUES ('c')")
    with records.still():
        assert records.renewed({parents, children}) == {parents}
        assert records.renewed({parents, children}) == set()
