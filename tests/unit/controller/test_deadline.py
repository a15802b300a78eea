"""A query has a price: a statement for an account ends when its time is up, whatever it does."""

import peewee
import pytest

from controller.kernel.call import Call, Principal, system_call
from controller.kernel.deadline import TooSlow
from controller.kernel.middleware import Middleware
from controller.kernel.sqlite import open_sqlite
from controller.tables.identity import Account
from controller.tables.migrations import migrate
from protos.errors import CloudError, Kind
from protos.rpc import CallContext, Caller

CUSTOMER = Call(Principal("1", "1"))
NUMBERS = "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n {}) SELECT {} FROM n"


def numbers(wanted: str, limit: str = "") -> peewee.Select:
    return peewee.Select(None, [peewee.SQL(f"({NUMBERS.format(limit, wanted)})")])


ENDLESS = numbers("COUNT(*)")
LONG = numbers("COUNT(*)", "WHERE i < 2000000")


@pytest.fixture
def db(tmp_path):
    made = open_sqlite(tmp_path / "pileus.db", statement_limit_s=0.05)
    migrate(made, 1)
    return made


def test_a_statement_without_an_end_is_ended(db):
    with pytest.raises(TooSlow) as refusal, db.read(CUSTOMER) as session:
        session.value(ENDLESS, int)
    assert (refusal.value.kind, refusal.value.reason) == (Kind.UNAVAILABLE, "too-slow")
    with db.read(CUSTOMER) as session:
        assert session.column(Account.select(Account.name), str) == [], "the thread goes on"


def test_also_while_its_rows_are_fetched(db):
    endless = peewee.Select([peewee.SQL(f"({NUMBERS.format('', 'i')})")], [peewee.SQL("i")]).where(
        peewee.SQL("i % 1000000 = 0")
    )
    with pytest.raises(TooSlow), db.read(CUSTOMER) as session:
        session.column(endless, int)


def test_a_change_that_is_ended_is_undone_and_the_next_writer_goes_on(db):
    with pytest.raises(TooSlow), db.write(CUSTOMER) as tx:
        tx.insert(Account, [{"account_id": "1", "name": "a"}])
        tx.advance(Account, {"created_ms": ENDLESS}, Account.account_id == "1")
    with db.write(CUSTOMER) as tx:
        assert not tx.exists(Account.select())
        tx.insert(Account, [{"account_id": "1", "name": "b"}])
    with db.read(CUSTOMER) as session:
        assert session.column(Account.select(Account.name), str) == ["b"]


def test_the_controllers_own_statements_take_what_they_need(db):
    with db.read(system_call(1)) as session:
        assert session.value(LONG, int) == 2_000_000


def test_it_is_not_run_again(db):
    """As a lost race would be."""
    runs = []

    class Servicer:
        def Describe(self, request, call):
            runs.append(request)
            with db.read(call) as session:
                return session.value(ENDLESS, int)

    context = CallContext("gateway", Caller(account_id="1"))
    with pytest.raises(CloudError) as refusal:
        Middleware(Servicer(), lambda: 1).Describe("asked", context)
    assert (refusal.value.reason, runs) == ("too-slow", ["asked"])
