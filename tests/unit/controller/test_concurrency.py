"""Many at once: capacity is never claimed twice, one token is one launch, and all conflicts end in
an answer."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from controller.tables.compute import Instance, Placement
from controller.tables.hosts import Host
from controller.tables.network import PublicAddress
from protos.errors import CloudError, Kind
from tests.unit.controller.cloud import Cloud

THREADS = 8


def at_once(acts):
    """The results (or CloudErrors) of these acts, begun together in a thread each."""
    together = threading.Barrier(len(acts), timeout=30)

    def one(act):
        together.wait()
        try:
            return act()
        except CloudError as refusal:
            return refusal

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(one, acts))


def split(results):
    refusals = [one for one in results if isinstance(one, CloudError)]
    return [one for one in results if one not in refusals], refusals


@pytest.fixture
def cloud(tmp_path):
    return Cloud(tmp_path, hosts=2, disk_gib=6)


def test_capacity_is_claimed_once_however_many_ask(cloud):
    def ask():
        return cloud.run(min_count=2, max_count=2)

    answers, refusals = split([one for _ in range(2) for one in at_once([ask] * THREADS)])
    assert len(answers) == 6, "two hosts of six GiB, a GiB each"
    assert {refusal.kind for refusal in refusals} == {Kind.NO_CAPACITY}
    with cloud.db.read() as session:
        assert [host.disk_gib_used for host in session.rows(Host.select())] == [6, 6]
    assert cloud.discrepancies() == []


def test_one_token_at_once_is_one_launch(cloud):
    answers, refusals = split(at_once([lambda: cloud.run(client_token="once")] * THREADS))
    assert not refusals
    assert len({answer.reservation_id for answer in answers}) == 1
    with cloud.db.read() as session:
        assert len(session.rows(Instance.select())) == 1


def test_two_processes_share_one_database(cloud, tmp_path):
    """Another controller on the same file: its own writer lock, the same claims."""
    other = cloud.second_process()
    acts = [lambda: cloud.run(client_token="t"), lambda: other.run(client_token="t")] * 4
    answers, refusals = split(at_once(acts))
    assert not refusals
    assert len({answer.reservation_id for answer in answers}) == 1
    answers, refusals = split(at_once([cloud.run, other.run] * THREADS))
    assert len(answers) == 11 and {one.kind for one in refusals} == {Kind.NO_CAPACITY}
    assert cloud.discrepancies() == []


def test_reports_and_calls_at_once_keep_the_books(cloud):
    ids = cloud.run_ids(8)
    stop = threading.Event()

    def heartbeats(host):
        def beat():
            while not stop.is_set():
                host.work()
                host.heartbeat()

        return beat

    beating = [threading.Thread(target=heartbeats(host)) for host in cloud.hosts.values()]
    for thread in beating:
        thread.start()
    try:
        acts = [
            lambda method=method, one=one: cloud.on(method, [one])
            for one in ids
            for method in ("Stop", "Start", "Reboot")
        ]
        for at in range(0, len(acts), THREADS):
            _, refusals = split(at_once(acts[at : at + THREADS]))
            assert {refusal.kind for refusal in refusals} <= {Kind.WRONG_STATE, Kind.NO_CAPACITY}
        split(at_once([lambda one=one: cloud.on("Terminate", [one]) for one in ids]))
    finally:
        stop.set()
        for thread in beating:
            thread.join(30)
    cloud.converge()
    assert set(cloud.states(*ids)) == {"terminated"}
    assert cloud.discrepancies() == []
    with cloud.db.read() as session:
        assert session.rows(Placement.select().where(Placement.live)) == []
        lent = PublicAddress.select().where(PublicAddress.account_id.is_null(False))
        assert session.rows(lent) == []
