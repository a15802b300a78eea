"""The name of an instance's state, derived from three columns with three owners. Pure.

    desired    running | stopped | terminated       instance, written by compute/instances/rules
    observed   unseen preparing running stopping    its guest's assignment, by hosts/reports
               stopped exited failed absent
    fresh      the observation was made under the newest intent, not an older one

    observed            none         absent, stopped  running        exited, fresh  anything else
    desired running     pending      pending          running        stopping       pending
    desired stopped     stopped      stopped          stopping       stopping       stopping
    desired terminated  terminated   shutting-down    shutting-down  shutting-down  shutting-down

``visible_state`` reads the table forwards; ``cells`` reads it backwards, for the filter by state
(compute/instances/filters). An observation older than the intent proves nothing: an ``exited`` from
before a start says nothing about the start. ``none`` is no live placement: what was seen absent is
terminated once all that it had is given back (compute/instances/reconcile), in the same
transaction, so that whoever reads "terminated" finds its interfaces, addresses and groups free.
"""

from collections.abc import Mapping

PENDING, RUNNING, SHUTTING_DOWN = "pending", "running", "shutting-down"
TERMINATED, STOPPING, STOPPED = "terminated", "stopping", "stopped"
STATES = (PENDING, RUNNING, SHUTTING_DOWN, TERMINATED, STOPPING, STOPPED)
CODES = {PENDING: 0, RUNNING: 16, SHUTTING_DOWN: 32, TERMINATED: 48, STOPPING: 64, STOPPED: 80}

OBSERVED = ("unseen", "preparing", "running", "stopping", "stopped", "exited", "failed", "absent")

TABLE: Mapping[str, Mapping[str, str]] = {
    "running": {
        "none": PENDING,
        "stopped": PENDING,
        "running": RUNNING,
        "exited": STOPPING,
        "other": PENDING,
    },
    "stopped": {
        "none": STOPPED,
        "stopped": STOPPED,
        "running": STOPPING,
        "exited": STOPPING,
        "other": STOPPING,
    },
    "terminated": {
        "none": TERMINATED,
        "stopped": SHUTTING_DOWN,
        "running": SHUTTING_DOWN,
        "exited": SHUTTING_DOWN,
        "other": SHUTTING_DOWN,
    },
}


def visible_state(
    desired: str, observed: str | None, observed_revision: int, intent_revision: int
) -> str:
    """What the user sees. observed None: the instance has no live placement."""
    return TABLE[desired][column(observed, observed_revision >= intent_revision)]


def column(observed: str | None, fresh: bool) -> str:
    """The table's column."""
    if observed is None:
        return "none"
    if observed in ("absent", "stopped"):
        return "stopped"
    if observed == "running":
        return observed
    return "exited" if observed == "exited" and fresh else "other"


def cells(state: str) -> list[tuple[str, str]]:
    """Where the table says ``state``: (desired, column) pairs."""
    return [
        (desired, column_name)
        for desired, row in TABLE.items()
        for column_name, shown in row.items()
        if shown == state
    ]
