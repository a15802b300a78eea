"""The words of EC2's two status checks, derived from two columns with two owners. Pure.

    status_check   '' initializing passed failed    live placement, written by observe
    health         up silent lost                   host, written by reconcile

    system status       ok     insufficient-data   impaired
    instance status  up        silent              lost
    passed              ok     insufficient-data   impaired
    initializing    initializing       "               "
    failed           impaired          "               "
    ''       insufficient-data         "               "

Both are ``not-applicable`` unless the instance runs. What was last seen of a guest on a host that
is silent says nothing of it now. ``cells`` reads the table backwards, for the filters.
"""

from collections.abc import Mapping

NOT_APPLICABLE = "not-applicable"
SYSTEM: Mapping[str, str] = {"up": "ok", "silent": "insufficient-data", "lost": "impaired"}
INSTANCE: Mapping[str, str] = {
    "passed": "ok",
    "initializing": "initializing",
    "failed": "impaired",
    "": "insufficient-data",
}
STATUSES = ("ok", "initializing", "impaired", "insufficient-data")

# What the detail "reachability" says where the status is the first word.
REACHABILITY: Mapping[str, str] = {
    "ok": "passed",
    "initializing": "initializing",
    "impaired": "failed",
    "insufficient-data": "insufficient-data",
}


def system_status(health: str) -> str:
    return SYSTEM[health]


def instance_status(health: str, status_check: str) -> str:
    return INSTANCE[status_check] if health == "up" else SYSTEM[health]


def cells(status: str) -> list[tuple[str, str]]:
    """Where the instance's status is this one: (health, status_check) pairs."""
    return [
        (health, check)
        for health in SYSTEM
        for check in INSTANCE
        if instance_status(health, check) == status
    ]
