"""A hundred thousand instances: pages are found by an index, and nothing scans. Plans are asked
for, not times."""

import pytest
from peewee import SQL

from controller.compute.instances.describe import Describer, instances_query
from controller.compute.instances.filters import instance_filters
from controller.compute.instances.reconcile import _ended_placements
from controller.config import Config
from controller.hosts.specs import _from
from controller.kernel.call import Call, Principal, system_call
from controller.kernel.filters import Page, where
from controller.kernel.prepared import Bound
from controller.kernel.sqlite import open_sqlite
from controller.network.names import DnsNames
from controller.storage.images import sharing
from controller.storage.snapshots import sources
from controller.tables.compute import Instance, Placement
from controller.tables.hosts import Assignment, Host
from controller.tables.identity import Account
from controller.tables.migrations import migrate
from controller.tables.storage import Image, Snapshot
from protos.cloud.v1 import common_pb2, instances_pb2

MANY = 100_000
ACCOUNTS = ("000000000001", "000000000002")


@pytest.fixture(scope="module")
def db(tmp_path_factory):
    made = open_sqlite(Config(state_dir=tmp_path_factory.mktemp("scale")).database)
    migrate(made, 1)
    instances = [
        {
            "instance_id": f"i-{number:017x}",
            "account_id": ACCOUNTS[number % 2],
            "reservation_id": f"r-{number:017x}",
            "image_id": "ami-1",
            "instance_type": "t2.micro",
            "availability_zone": "us-east-1a",
            "desired": "running",
        }
        for number in range(MANY)
    ]
    placements = [
        {
            "placement_id": f"pl-{number:017x}",
            "instance_id": f"i-{number:017x}",
            "host_id": "h-1",
        }
        for number in range(MANY)
    ]
    assignments = [
        {
            "kind": "instance",
            "resource_id": f"i-{number:017x}",
            "host_id": "h-1",
            "role": "guest",
            "observed": "running",
            "position": number,
        }
        for number in range(MANY)
    ]
    with made.write(system_call(1)) as tx:
        tx.insert(Account, [{"account_id": one, "name": one} for one in ACCOUNTS])
        tx.insert(Host, [{"host_id": "h-1", "name": "h", "availability_zone": "z"}])
        tx.insert(Instance, instances)
        tx.insert(Placement, placements)
        tx.insert(Assignment, assignments)
        tx.define("ANALYZE")
    return made


def plan(db, query) -> list[str]:
    """What SQLite would do, a line each."""
    if isinstance(query, Bound):
        sql, parameters = query.compile(db._backend)
    else:
        sql, parameters = db._backend.get_sql_context().sql(query).query()
    with db.read() as session:
        explained = SQL(f"EXPLAIN QUERY PLAN {sql}", parameters)
        return [row[-1] for row in session.tuples(explained)]


def own(*conditions):
    return instances_query().where(Instance.account_id == ACCOUNTS[0], *conditions)


def describe(db, **fields):
    describer = Describer(db, DnsNames())
    request = instances_pb2.DescribeInstancesRequest(**fields)
    return describer.describe(Call(Principal(account_id=ACCOUNTS[0])), request)


def test_a_page_is_found_by_key_wherever_it_is(db):
    lines = plan(db, Page("i-0000000000000c000", 1000).of(own(), Instance.instance_id))
    assert not [line for line in lines if line.startswith("SCAN") or "TEMP B-TREE" in line], lines
    assert any("account_id" in line and "instance_id>" in line for line in lines), lines


@pytest.mark.parametrize(
    ("name", "value"),
    [("instance-id", "i-00000000000000007"), ("instance-state-name", "running")],
)
def test_filters_stay_within_the_account(db, name, value):
    filters = [common_pb2.Filter(name=name, values=[value])]
    conditions = where(instance_filters(DnsNames()), filters)
    lines = plan(db, Page("", 1000).of(own(*conditions), Instance.instance_id))
    assert not [line for line in lines if line.startswith("SCAN")], lines


def test_a_host_is_told_what_changed_without_looking_at_the_rest(db):
    lines = plan(db, _from(host_id="h-1", base=MANY - 5))
    assert any("position>" in line for line in lines), lines
    assert not [line for line in lines if line.startswith("SCAN t2")], lines


def test_what_is_to_be_reconciled_is_a_small_index(db):
    lines = plan(db, _ended_placements().limit(1))
    assert any("assignment_ended" in line for line in lines), lines
    assert not [line for line in lines if line.startswith("SCAN") and "INDEX" not in line], lines


@pytest.mark.parametrize(
    ("key", "visible"),
    [(Image.image_id, sharing.visible_to), (Snapshot.snapshot_id, sources.visible_to)],
)
def test_what_is_shared_is_found_past_what_is_not(tmp_path, key, visible):
    made = open_sqlite(Config(state_dir=tmp_path).database)
    migrate(made, 1)
    query = key.model.select().where(visible(ACCOUNTS[0]))
    lines = plan(made, Page("", 1000).of(query, key))
    assert not [line for line in lines if line.startswith("SCAN")], lines
    assert any("(public=?" in line for line in lines), lines


def test_pages_to_the_very_end(db):
    page, count, token = 0, 0, ""
    while True:
        answer = describe(db, page=common_pb2.Page(max_results=1000, next_token=token))
        count += sum(len(one.instances) for one in answer.reservations)
        page, token = page + 1, answer.next_token
        if not token:
            break
    assert (page, count) == (MANY // 2 // 1000, MANY // 2)
