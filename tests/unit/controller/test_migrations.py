"""A database of any earlier release comes to where the schema is, with all that was in it."""

import re
from pathlib import Path

import pytest
from peewee import SQL, Select

from controller.kernel.call import system_call
from controller.kernel.database import Conflict
from controller.kernel.sqlite import open_sqlite
from controller.tables import migrations
from controller.tables.hosts import Host
from controller.tables.migrations import NEWEST, NewerDatabase, ddl, migrate, version
from controller.tables.migrations.rebuild import rebuilt, script
from controller.tables.storage import HostImage

CALL = system_call(1)
FIRST = script(str(Path(migrations.__file__).with_name("m0001_first.sql")))


@pytest.fixture
def db():
    made = open_sqlite(":memory:")
    migrate(made, 1)
    return made


def at(number: int, *statements: str):
    """A database as the release with that newest migration left it, and what was written to it."""
    made, all_of_them = open_sqlite(":memory:"), migrations.MIGRATIONS
    with made.write(CALL) as tx:
        tx.define(
            "CREATE TABLE schema_migration"
            " (number INTEGER NOT NULL PRIMARY KEY, applied_ms BIGINT NOT NULL)"
        )
    for of, apply in all_of_them[:number]:
        with made.rebuild(CALL) as tx:
            apply(tx)
            tx.define(f"INSERT INTO schema_migration VALUES ({of}, 1)")
    with made.write(CALL) as tx:
        for statement in statements:
            tx.define(statement)
    return made


def row_of(table: str, **values) -> str:
    """The statement that adds a row to a table of the first schema; what is not given is '' or 0,
    as the column's kind is, or NULL where that may be."""
    (made,) = [one for one in FIRST if f'CREATE TABLE "{table}" (' in one]
    columns = re.findall(r'[(,] "?(\w+)"? (TEXT|INTEGER|BLOB)( NOT NULL)?', made.replace("(", "( "))
    given = {
        name: "NULL" if not must else "''" if kind == "TEXT" else "0"
        for name, kind, must in columns
    }
    if unknown := set(values) - set(given):
        raise KeyError(unknown)
    given |= {name: f"'{value}'" for name, value in values.items()}
    return f'INSERT INTO "{table}" ({", ".join(given)}) VALUES ({", ".join(given.values())})'


def schema_of(db) -> set[str]:
    query = SQL("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
    with db.read() as session:
        return {re.sub(r"\s+", " ", row[0]) for row in session.tuples(query)}


def test_migrating_twice_does_nothing_the_second_time(db):
    assert migrate(db, 2) == []
    with db.read() as session:
        assert version(session) == NEWEST


def test_migrations_end_where_the_schema_is(db):
    journal = {sql for sql in schema_of(db) if "schema_migration" in sql}
    assert schema_of(db) - journal == set(ddl.ddl())


def test_migrations_are_numbered_in_order():
    numbers = [number for number, _ in migrations.MIGRATIONS]
    assert numbers == sorted(set(numbers)) and numbers[0] == 1


def test_a_database_of_a_newer_release_is_refused(db):
    with db.write(CALL) as tx:
        tx.define(f"INSERT INTO schema_migration VALUES ({NEWEST + 1}, 1)")
    with pytest.raises(NewerDatabase):
        migrate(db, 2)


def test_what_was_in_the_first_schema_is_there_in_the_newest():
    db = at(
        1,
        row_of("host", host_id="h", name="one", availability_zone="z", orphans='["lost"]'),
        row_of("host_image", host_id="h", digest="d"),
    )
    assert migrate(db, 2) == [number for number, _ in migrations.MIGRATIONS if number > 1]
    with db.read() as session:
        host = session.one(Host.select())
        assert (host.host_id, host.name, host.orphans) == ("h", "one", '["lost"]')
        assert host.hypervisor_away == ""
        assert session.value(HostImage.select(HostImage.digest)) == "d"


def test_references_are_watched_again_after_a_migration():
    db = at(1)
    migrate(db, 2)
    with pytest.raises(Conflict), db.write(CALL) as tx:
        tx.insert(HostImage, [{"host_id": "none", "digest": "d"}])


@pytest.mark.parametrize("values", ({}, {"version": "1", "hypervisor_away": "''", "typo": "1"}))
def test_a_migration_that_forgets_a_column_or_invents_one_changes_nothing(values):
    db = at(1, row_of("host", host_id="h", name="one", availability_zone="z"))
    before = schema_of(db)
    with pytest.raises(KeyError), db.rebuild(CALL) as tx, rebuilt(tx, ddl.ddl("host")) as old:
        old.copy("host", values)
    assert schema_of(db) == before


def test_a_migration_that_loses_what_is_referred_to_changes_nothing():
    db = at(
        1,
        row_of("host", host_id="h", name="one", availability_zone="z"),
        row_of("host_image", host_id="h", digest="d"),
    )
    losing = pytest.raises(ValueError, match="lead nowhere")
    with losing, db.rebuild(CALL) as tx, rebuilt(tx, ddl.ddl("host")):
        pass
    with db.read() as session:
        assert session.value(Select([SQL("host")], [SQL("name")])) == "one"
