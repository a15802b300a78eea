"""Sessions, filters and pages: what every noun of the controller stands on."""

import itertools
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from peewee import SQL

from controller.identity.tags.filters import tag_filters
from controller.kernel import filters
from controller.kernel.call import Call, Principal, system_call
from controller.kernel.database import Conflict
from controller.kernel.filters import page_of, where
from controller.kernel.middleware import ATTEMPTS, Middleware
from controller.kernel.rows import columns
from controller.kernel.sqlite import open_sqlite
from controller.storage.states import LIVING
from controller.tables.compute import KeyPair
from controller.tables.hosts import Host
from controller.tables.identity import Account, Tag
from controller.tables.migrations import migrate
from controller.tables.storage import Image
from protos.cloud.v1 import common_pb2
from protos.errors import CloudError, Kind
from protos.rpc import CallContext, Caller

CALL = system_call(1)


class Stamped(NamedTuple):
    account_id: str
    created_ms: int


@pytest.fixture
def db():
    made = open_sqlite(":memory:")
    migrate(made, 1)
    return made


def accounts(db, *names, **more):
    rows = [{"account_id": str(number), "name": name, **more} for number, name in enumerate(names)]
    with db.write(CALL) as tx:
        tx.insert(Account, rows)


def names(db, *conditions):
    query = Account.select(Account.name).order_by(Account.account_id)
    with db.read() as session:
        return [row.name for row in session.rows(query.where(*conditions) if conditions else query)]


# --- transactions ---------------------------------------------------------------------------------


def test_what_is_raised_inside_undoes_all_of_it(db):
    with pytest.raises(ZeroDivisionError), db.write(CALL) as tx:
        tx.insert(Account, [{"account_id": "1", "name": "a"}])
        raise ZeroDivisionError
    assert names(db) == []


def test_a_rehearsal_keeps_nothing_and_calls_nobody(db):
    kicked = []
    with db.write(Call(dry_run=True)) as tx:
        tx.insert(Account, [{"account_id": "1", "name": "a"}])
        tx.after_commit(lambda: kicked.append(1))
        assert tx.value(Account.select(Account.name)) == "a"
    assert (names(db), kicked) == ([], [])


def test_after_commit_runs_when_it_is_durable(db):
    seen = []
    with db.write(CALL) as tx:
        tx.insert(Account, [{"account_id": "1", "name": "a"}])
        tx.after_commit(lambda: seen.append(names(db)))
        assert seen == []
    assert seen == [["a"]]


def test_a_cut_before_the_commit_loses_it_and_one_after_keeps_it(db):
    class Cut(BaseException):
        pass

    def cut_at(point):
        def checkpoint(name):
            if name == point:
                raise Cut

        return checkpoint

    for point, kept in (("commit:before", []), ("commit:after", ["a"])):
        db._checkpoint = cut_at(point)
        with pytest.raises(Cut), db.write(CALL) as tx:
            tx.insert(Account, [{"account_id": "1", "name": "a"}])
        db._checkpoint = lambda name: None
        assert names(db) == kept


def test_a_transaction_inside_a_transaction_is_a_mistake(db):
    with db.write(CALL), pytest.raises(RuntimeError), db.read():
        pass


def test_rows_get_the_schemas_defaults_and_no_column_of_their_own(db):
    with db.write(CALL) as tx:
        tx.insert(Host, [{"host_id": "h", "name": "n", "availability_zone": "z"}])
        row = tx.one(Host.select())
        assert (row.health, row.position, row.orphans) == ("silent", 1, "[]")
        with pytest.raises(KeyError):
            tx.insert(Host, [{"host_id": "h2", "nmae": "typo"}])


def test_advance_says_how_many_rows_still_were_as_expected(db):
    accounts(db, "a", "b")
    with db.write(CALL) as tx:
        is_a = Account.name == "a"
        assert tx.advance(Account, {"operator": True}, is_a, ~Account.operator) == 1
        assert tx.advance(Account, {"operator": True}, is_a, ~Account.operator) == 0
        (row,) = tx.advance_returning(
            Account,
            {"created_ms": Account.created_ms + 5},
            is_a,
            returning=Stamped,
        )
        assert row == Stamped("0", 5)
        with pytest.raises(ValueError, match="without a guard"):
            tx.advance(Account, {"operator": False})


def test_a_row_is_what_its_query_selects(db):
    accounts(db, "a")
    key = Account.account_id
    with db.read() as session:
        assert session.rows(Account.select(*columns(Stamped, Account)), Stamped) == [("0", 0)]
        for drifted in (Account.select(key), Account.select(Account.created_ms, key)):
            with pytest.raises(TypeError, match="Stamped has the fields"):
                session.one(drifted, Stamped)
        assert session.column(Account.select(key), str) == ["0"]
        assert session.exists(Account.select(key)) and not session.exists(KeyPair.select())


def test_many_rows_are_one_statement(db):
    seen = []
    db.on_statement = seen.append
    accounts(db, *(f"a{number}" for number in range(1000)))
    assert len(seen) == 1
    rows = [{"account_id": str(n), "name": f"b{n}"} for n in range(3)]
    with db.write(CALL) as tx:
        assert tx.insert(Account, rows, on_conflict=("account_id",)) == 0
        assert tx.insert(Account, rows, on_conflict=("account_id",), update=("name",)) == 3
    assert {"b0", "b1", "b2"} < set(names(db))


def test_foreign_keys_are_enforced(db):
    with pytest.raises(Conflict) as caught, db.write(CALL) as tx:
        row = {"key_pair_id": "k", "account_id": "none", "key_name": "n", "key_type": "rsa"}
        tx.insert(KeyPair, [{**row, "fingerprint": "f", "public_key": "p"}])
    assert caught.value.integrity


@pytest.mark.parametrize("status", LIVING)
def test_an_account_has_one_living_image_of_a_name(db, status):
    accounts(db, "a")
    image = {"account_id": "0", "name": "web"}
    with db.write(CALL) as tx:
        tx.insert(Image, [image | {"image_id": "ami-1", "status": "killed"}])
        tx.insert(Image, [image | {"image_id": "ami-2", "status": status}])
    with pytest.raises(Conflict) as caught, db.write(CALL) as tx:
        tx.insert(Image, [image | {"image_id": "ami-3", "status": "active"}])
    assert caught.value.integrity


def test_text_compares_as_postgresql_compares_it(db):
    accounts(db, "Web")
    assert names(db, filters.matches(Account.name, "w*")) == []
    assert names(db, filters.matches(Account.name, "W*")) == ["Web"]


# --- the middleware -------------------------------------------------------------------------------


class Loser:
    def __init__(self, losses, integrity=False):
        self.losses, self.integrity, self.calls = losses, integrity, []

    def Do(self, request, call):
        self.calls.append(call)
        if len(self.calls) <= self.losses:
            raise Conflict("somebody was first", integrity=self.integrity)
        return request


def enter(loser, request="answer"):
    context = CallContext("gateway", Caller(account_id="1", request_id="r", dry_run=True))
    return Middleware(loser, lambda: 42).Do(request, context)


def test_the_middleware_runs_a_lost_race_again_and_tells_who_calls():
    loser = Loser(2)
    assert enter(loser) == "answer"
    who = Principal(account_id="1")
    assert loser.calls == [Call(who, request_id="r", dry_run=True, now_ms=42, peer="gateway")] * 3


@pytest.mark.parametrize(("integrity", "kind"), [(False, Kind.UNAVAILABLE), (True, Kind.BUG)])
def test_the_middleware_gives_up_after_some_attempts(integrity, kind):
    loser = Loser(99, integrity)
    with pytest.raises(CloudError) as caught:
        enter(loser)
    assert (caught.value.kind, len(loser.calls)) == (kind, ATTEMPTS)


def test_a_stream_is_read_once():
    loser = Loser(1)
    with pytest.raises(Conflict):
        enter(loser, iter(["chunk"]))
    assert len(loser.calls) == 1


# --- filters --------------------------------------------------------------------------------------

TABLE = {
    "name": filters.column(Account.name),
    "operator": filters.boolean(Account.operator),
    "created": filters.integer(Account.created_ms),
    "time": filters.timestamp(Account.created_ms),
    "kind": filters.constant("hvm"),
    "word": filters.choice({"old": Account.created_ms < 10, "new": Account.created_ms >= 10}),
    **tag_filters(Account.account_id),
}


def asked(*pairs):
    return where(TABLE, [common_pb2.Filter(name=name, values=values) for name, *values in pairs])


def test_values_are_ored_and_filters_anded(db):
    accounts(db, "a", "b", "c", operator=True)
    assert names(db, *asked(("name", "a", "b"), ("operator", "true"))) == ["a", "b"]
    assert names(db, *asked(("name", "a", "b"), ("operator", "false"))) == []
    assert names(db, *asked(("operator", "true", "false"))) == ["a", "b", "c"]
    assert names(db, *asked(("operator", "TRUE"))) == []
    assert names(db, *asked(("kind", "h?m"), ("word", "o*"))) == ["a", "b", "c"]
    assert names(db, *asked(("word", "new"))) == []
    assert names(db, *asked(("created", "0"))) == ["a", "b", "c"]
    assert names(db, *asked(("created", "zero"))) == []


def test_no_values_match_nothing_and_an_empty_value_is_a_value(db):
    with db.write(CALL) as tx:
        tx.insert(Account, [{"account_id": "1", "name": ""}])
    assert names(db, *asked(("name",))) == []
    assert names(db, *asked(("name", ""))) == [""]


@pytest.mark.parametrize("name", ["nmae", "Name", "tag:", "tag"])
def test_an_unknown_name_is_refused(name):
    with pytest.raises(CloudError, match="is invalid") as caught:
        asked((name, "x"))
    assert caught.value.kind is Kind.INVALID


def test_tags_by_their_key_only(db):
    accounts(db, "a", "b")
    rows = [
        {"resource_id": "0", "key": "Name", "value": "web"},
        {"resource_id": "1", "key": "Role", "value": "web"},
    ]
    with db.write(CALL) as tx:
        tx.insert(Tag, [{**row, "account_id": "0", "resource_type": "account"} for row in rows])
    assert names(db, *asked(("tag:Name", "w*"))) == ["a"]
    assert names(db, *asked(("tag-key", "Role"))) == ["b"]
    assert names(db, *asked(("tag-value", "web"))) == ["a", "b"]
    assert names(db, *asked(("tag:name", "web"))) == []


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [
        ("a*", ["a", "ab", "a%b", "a_b"]),
        ("a?b", ["a%b", "a_b"]),
        ("a%b", ["a%b"]),
        ("a_b", ["a_b"]),
        (r"\*", ["*"]),
        (r"a\*", []),
        ("[ab]", ["[ab]"]),
        ("!*", ["!x"]),
        (r"\\", ["\\"]),
        ("*", ["a", "ab", "a%b", "a_b", "*", "[ab]", "!x", "\\"]),
    ],
)
def test_wild_cards(db, pattern, matched):
    every = ["a", "ab", "a%b", "a_b", "*", "[ab]", "!x", "\\"]
    accounts(db, *every)
    assert names(db, *asked(("name", pattern))) == matched
    assert [name for name in every if filters.like(pattern, name)] == matched


ALPHABET = st.text(alphabet="ab*?\\%_![", max_size=6)


@given(st.lists(st.tuples(ALPHABET, ALPHABET), min_size=1, max_size=20))
def test_sql_and_python_agree_on_every_pattern(pairs):
    db = open_sqlite(":memory:")
    with db.read() as session:
        for pattern, text in pairs:
            expression = filters.matches(SQL("?", (text,)), pattern)
            nothing = Account.select(SQL("1")).from_(SQL("(SELECT 1)"))
            found = session.value(nothing.where(expression))
            assert bool(found) is filters.like(pattern, text), (pattern, text)


def test_times_by_their_text(db):
    accounts(db, "noon", created_ms=1_769_860_800_000)  # 2026-01-31T12:00:00.000Z
    for value, found in (
        ("2026-01-31T12:00:00.000Z", True),
        ("2026-01-31T12:00:00.001Z", False),
        ("2026-01-3*", True),
        ("2026-01-30*", False),
        ("*", True),
        ("2026-01-31", False),
    ):
        assert bool(names(db, *asked(("time", value)))) is found, value
    with pytest.raises(CloudError, match="at its end only"):
        asked(("time", "*-01-31"))


# --- pages ----------------------------------------------------------------------------------------


def page(db, size, token=""):
    asked_for = page_of(common_pb2.Page(max_results=size, next_token=token))
    with db.read() as session:
        rows = session.rows(asked_for.of(Account.select(), Account.account_id))
    return asked_for.cut(rows, lambda row: row.account_id)


def test_pages_hold_everything_once_and_the_last_has_no_token(db):
    accounts(db, *(f"a{number}" for number in range(23)))
    found, token, sizes = [], "", []
    for _ in itertools.repeat(None, 10):
        rows, token = page(db, 5, token)
        found += [row.name for row in rows]
        sizes.append(len(rows))
        if not token:
            break
    assert sizes == [5, 5, 5, 5, 3]
    assert sorted(found) == sorted(f"a{number}" for number in range(23))


def test_what_comes_and_goes_between_pages_neither_skips_nor_repeats(db):
    accounts(db, *(f"a{number:02}" for number in range(10)))
    first, token = page(db, 5)
    with db.write(CALL) as tx:
        tx.delete(Account, Account.account_id == first[0].account_id)
        tx.insert(Account, [{"account_id": "0x", "name": "new"}])
    second, _ = page(db, 5, token)
    assert {row.name for row in first} & {row.name for row in second} == set()


@pytest.mark.parametrize("token", ["x", "!!!", "MQ", "ä", "Mg==", "MWE" * 400])
def test_a_token_of_somebody_elses_is_refused(token):
    with pytest.raises(CloudError) as caught:
        page_of(common_pb2.Page(next_token=token))
    assert caught.value.reason == "next-token"


def test_sizes_out_of_bounds():
    for size in (0, -1, 4):
        with pytest.raises(CloudError):
            page_of(common_pb2.Page(max_results=size))
    assert page_of(common_pb2.Page(max_results=5000)).limit == 1000
    assert page_of(common_pb2.Page()).limit is None
    with pytest.raises(CloudError) as caught:
        page_of(common_pb2.Page(max_results=5), explicit_ids=["i-1"])
    assert caught.value.reason == "parameter-combination"
