"""At rest: no guest runs that could have an instance's disks and interfaces, so that they may be
taken from it, or copied, without asking its host. As a function of columns, and as SQL.

Stricter than the visible state "stopped" (``state``): a start that was given up shows as stopped
while its host, which was told to start it, has not said yet what became of it (``overdue``). So
"stopped" counts only under the newest intent. What is nowhere any more (no live placement, absent)
is at rest whatever is wanted. Called by volumes, networks and images.
"""

from controller.db.schema import Instance, Placement

# Of an instance joined with its live placement.
FRESH = Placement.observed_generation >= Placement.intent_generation
AT_REST = (
    Placement.observed.is_null()
    | (Placement.observed == "absent")
    | ((Placement.observed == "stopped") & (Instance.desired == "stopped") & FRESH)
)


def at_rest(
    desired: str | None, observed: str | None, observed_generation: int, intent_generation: int
) -> bool:
    """observed None: there is no live placement, or no instance at all."""
    if observed is None or observed == "absent":
        return True
    fresh = observed_generation >= intent_generation
    return observed == desired == "stopped" and fresh


def is_at_rest(instance) -> bool:
    """Of a row with an instance's desired and its live placement's columns."""
    return at_rest(
        instance.desired,
        instance.observed,
        instance.observed_generation,
        instance.intent_generation,
    )
