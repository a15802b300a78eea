"""Prepared queries: the same answers as built ones, whatever the values and however many."""

import pytest
from peewee import Case, PostgresqlDatabase

from controller.kernel.call import system_call
from controller.kernel.prepared import among, prepared
from controller.kernel.sqlite import open_sqlite
from controller.tables.identity import Account
from controller.tables.migrations import migrate


@pytest.fixture
def db():
    made = open_sqlite(":memory:")
    migrate(made, 1)
    rows = [{"account_id": str(number), "name": f"a{number}"} for number in range(5)]
    with made.write(system_call(1)) as tx:
        tx.insert(Account, rows)
    return made


@prepared
def _named(names, before):
    query = Account.select(Account.account_id).order_by(Account.account_id)
    return query.where(among(Account.name, names), Account.account_id < before)


@prepared
def _rename(account_id, name):
    chosen = Case(None, [(Account.account_id == account_id, name)], Account.name)
    return Account.update({Account.name: chosen}).where(Account.account_id == account_id)


def test_a_list_may_have_any_length(db):
    for names, found in (
        (["a1", "a3", "a4"], ["1", "3"]),
        (["a1"], ["1"]),
        ([], []),
        (["none"] * 1000 + ["a2"], ["2"]),
    ):
        with db.read() as session:
            rows = session.rows(_named(names=names, before="4"))
        assert [row.account_id for row in rows] == found


def test_an_update_answers_how_many_rows_changed(db):
    with db.write(system_call(1)) as tx:
        assert tx.advance_by(_rename(account_id="1", name="new")) == 1
        assert tx.advance_by(_rename(account_id="9", name="new2")) == 0
        names = [row.name for row in tx.rows(Account.select().order_by(Account.account_id))]
    assert names == ["a0", "new", "a2", "a3", "a4"]


def test_it_is_built_once():
    built = []

    def build(account_id):
        built.append(1)
        return Account.select().where(Account.account_id == account_id)

    query, db = prepared(build), open_sqlite(":memory:")
    migrate(db, 1)
    with db.read() as session:
        for account_id in ("1", "2", "3"):
            assert session.rows(query(account_id=account_id)) == []
    assert len(built) == 1


def test_each_database_gets_its_own_marks():
    sql, values = _named(names=["x", "y"], before="4").compile(PostgresqlDatabase("none"))
    assert sql.count("%s") == 3 and "?" not in sql
    assert values == ["x", "y", "4"]


def test_a_value_missing_or_too_many_is_a_mistake():
    for wrong in ({"names": []}, {"names": [], "before": "", "more": 1}):
        with pytest.raises(TypeError):
            _named(**wrong)


def test_among_in_a_query_of_the_moment(db):
    with db.read() as session:
        rows = session.rows(Account.select().where(among(Account.name, ["a1", "a2"])))
        assert len(rows) == 2
        assert session.rows(Account.select().where(among(Account.name, []))) == []
