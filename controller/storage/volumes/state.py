"""The name of a volume's state, derived from columns of several owners. Pure.

    deleting   desired deleted
    in-use     attached
    error      not made yet: failed, lost
    creating   not made yet
    available  otherwise

    desired    present | deleted             volume, written by storage/volumes/rules and reconcile
    made                                     volume, written by storage/volumes/observe
    observed   '' making here failed gone    the home's assignment, written by hosts/reports;
               lost                          its home says nothing (volumes/overdue)

Read backwards for filters in storage/volumes/conditions; the states of attachments are in
attachment_states.
"""

from typing import Protocol

from controller.storage.states import UNMADE

CREATING, AVAILABLE, IN_USE, DELETING, ERROR = (
    "creating",
    "available",
    "in-use",
    "deleting",
    "error",
)


class Volume(Protocol):
    """A volume's row with its attachment and what its home has seen, None where there is none."""

    @property
    def desired(self) -> str: ...
    @property
    def instance_id(self) -> str | None: ...
    @property
    def made(self) -> bool: ...
    @property
    def observed(self) -> str | None: ...


def volume_state(row: Volume) -> str:
    if row.desired == "deleted":
        return DELETING
    if row.instance_id:
        return IN_USE
    if row.made:
        return AVAILABLE
    return ERROR if row.observed in UNMADE else CREATING
