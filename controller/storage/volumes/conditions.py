"""The table of storage/volumes/state read backwards, as SQL: for filters by state. Pure.

Called by storage/volumes/describe. Rows are volumes joined as storage/volumes/rows has it.
"""

from collections.abc import Sequence

from peewee import Case, fn

from controller.hosts.guests import HOME
from controller.kernel.filters import NOTHING, integer
from controller.kernel.table import Clause
from controller.storage.states import UNMADE
from controller.storage.volumes import state, types
from controller.tables.compute import Attachment
from controller.tables.storage import Volume

_PRESENT = Volume.desired == "present"
_FREE = _PRESENT & Attachment.device_id.is_null()
_UNMADE = _FREE & ~Volume.made
_FAILED = fn.COALESCE(HOME.observed, "").in_(UNMADE)
VOLUME_STATES = {
    state.DELETING: Volume.desired == "deleted",
    state.IN_USE: _PRESENT & Attachment.device_id.is_null(False),
    state.AVAILABLE: _FREE & Volume.made,
    state.ERROR: _UNMADE & _FAILED,
    state.CREATING: _UNMADE & ~_FAILED,
}


def shown_iops_are(values: Sequence[str]) -> Clause:
    """As types.shown_iops shows them."""
    least, most = types.GP2_IOPS
    grown = Volume.size_gib * types.GP2_IOPS_PER_GIB
    gp2 = Case(None, [(grown < least, least), (grown > most, most)], grown)
    shown = Case(None, [(Volume.volume_type == "gp2", gp2)], Volume.iops)
    return (shown > 0) & integer(shown)(values) if values else NOTHING
