"""The table of states, forwards in Python and backwards in SQL, on every row that there can be."""

import itertools

import pytest

from controller.compute.instances import state
from controller.compute.instances.filters import in_state
from controller.hosts.guests import with_guest
from controller.kernel.call import system_call
from controller.kernel.sqlite import open_sqlite
from controller.tables.compute import Instance, Placement
from controller.tables.hosts import Assignment, Host
from controller.tables.identity import Account
from controller.tables.migrations import migrate

# ARCHITECTURE.md, word by word: (desired, column) -> visible
EXPECTED = {
    ("running", "none"): "pending",
    ("running", "stopped"): "pending",
    ("running", "running"): "running",
    ("running", "exited"): "stopping",
    ("running", "other"): "pending",
    ("stopped", "none"): "stopped",
    ("stopped", "stopped"): "stopped",
    ("stopped", "running"): "stopping",
    ("stopped", "exited"): "stopping",
    ("stopped", "other"): "stopping",
    ("terminated", "none"): "terminated",
    ("terminated", "stopped"): "shutting-down",
    ("terminated", "running"): "shutting-down",
    ("terminated", "exited"): "shutting-down",
    ("terminated", "other"): "shutting-down",
}
REVISIONS = ((4, 5), (5, 5), (6, 5))  # observed under, intent


def test_the_table_is_the_architectures():
    for (desired, column), visible in EXPECTED.items():
        assert state.TABLE[desired][column] == visible


def test_every_state_has_a_code_and_a_cell():
    assert set(state.CODES) == set(state.STATES) == set(EXPECTED.values())


def test_what_was_seen_absent_is_terminated_only_with_its_placement_ended():
    assert state.visible_state("terminated", "absent", 5, 5) == "shutting-down"
    assert state.visible_state("terminated", None, 0, 0) == "terminated"


@pytest.mark.parametrize("observed", state.OBSERVED)
def test_an_observation_older_than_the_intent_proves_no_end(observed):
    fresh = state.visible_state("running", observed, 5, 5)
    old = state.visible_state("running", observed, 4, 5)
    assert (fresh, old) == (("stopping", "pending") if observed == "exited" else (old, old))


@pytest.fixture(scope="module")
def rows():
    """A database with an instance for every combination: [(id, visible state)]."""
    db = open_sqlite(":memory:")
    migrate(db, 0)
    cases = [*itertools.product(state.TABLE, (None, *state.OBSERVED), REVISIONS)]
    with db.write(system_call(0)) as tx:
        tx.insert(Account, [{"account_id": "1", "name": "a"}])
        tx.insert(Host, [{"host_id": "h-1", "name": "h", "availability_zone": "z"}])
        for number, (desired, observed, (seen, intent)) in enumerate(cases):
            instance = {
                "instance_id": f"i-{number}",
                "account_id": "1",
                "reservation_id": "r",
                "image_id": "ami",
                "instance_type": "t",
                "availability_zone": "z",
                "desired": desired,
                "intent_revision": intent,
            }
            tx.insert(Instance, [instance])
            placement = {
                "placement_id": f"p-{number}",
                "instance_id": f"i-{number}",
                "host_id": "h-1",
                "live": observed is not None,  # a stay that is over says nothing any more
            }
            tx.insert(Placement, [placement])
            assignment = {
                "kind": "instance",
                "resource_id": f"i-{number}",
                "host_id": "h-1",
                "role": "guest",
                "observed": observed or "unseen",
                "observed_revision": seen,
            }
            tx.insert(Assignment, [assignment])
    visible = {
        f"i-{number}": state.visible_state(desired, observed, seen, intent)
        for number, (desired, observed, (seen, intent)) in enumerate(cases)
    }
    return db, visible


@pytest.mark.parametrize("name", state.STATES)
def test_the_filter_finds_what_the_view_shows(rows, name):
    db, visible = rows
    query = with_guest(Instance.select(Instance.instance_id), Instance.instance_id)
    query = query.where(in_state(name))
    with db.read() as session:
        found = {row.instance_id for row in session.rows(query)}
    assert found == {instance_id for instance_id, shown in visible.items() if shown == name}
