"""The table of volumes/state read backwards, as SQL: for filters by state. Pure.

Called by volumes/describe and instances/filters. Rows are volumes joined with their guest, as
volumes/rows has it (a row of instances joined with its volumes has the same columns).
"""

from collections.abc import Sequence

from peewee import Case

from controller.db.filters import NOTHING, integer
from controller.db.schema import Placement, Volume
from controller.volumes import state, types

_PRESENT = Volume.desired == "present"
_FREE = _PRESENT & Volume.instance_id.is_null()
_UNMADE = _FREE & ~Volume.made
VOLUME_STATES = {
    state.DELETING: Volume.desired == "deleted",
    state.IN_USE: _PRESENT & Volume.instance_id.is_null(False),
    state.AVAILABLE: _FREE & Volume.made,
    state.ERROR: _UNMADE & Volume.observed.in_(state.UNMADE),
    state.CREATING: _UNMADE & Volume.observed.not_in(state.UNMADE),
}

_ATTACHED = Volume.instance_id.is_null(False)
_STAYS = _ATTACHED & ~Volume.detaching
_NEVER_RAN = Placement.ran_ms.is_null(False) & (Placement.ran_ms == 0)
_BEHIND = (
    Placement.observed.is_null(False)
    & (Placement.observed == "running")
    & (Volume.attach_generation > Placement.devices_generation)
)
ATTACHMENT_STATES = {
    state.BUSY: _ATTACHED & Volume.detaching & Volume.busy,
    state.DETACHING: _ATTACHED & Volume.detaching & ~Volume.busy,
    state.ATTACHING: _STAYS & (_NEVER_RAN | _BEHIND),
    state.ATTACHED: _STAYS & ~(_NEVER_RAN | _BEHIND),
}


def shown_iops_are(values: Sequence[str]):
    """As types.shown_iops shows them."""
    least, most = types.GP2_IOPS
    grown = Volume.size_gib * types.GP2_IOPS_PER_GIB
    gp2 = Case(None, [(grown < least, least), (grown > most, most)], grown)
    shown = Case(None, [(Volume.volume_type == "gp2", gp2)], Volume.iops)
    return (shown > 0) & integer(shown)(values) if values else NOTHING
