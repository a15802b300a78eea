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

from controller.storage.states import UNMADE

CREATING, AVAILABLE, IN_USE, DELETING, ERROR = (
    "creating",
    "available",
    "in-use",
    "deleting",
    "error",
)


def volume_state(row) -> str:
    """Of a row with desired, instance_id, made and observed."""
    if row.desired == "deleted":
        return DELETING
    if row.instance_id:
        return IN_USE
    if row.made:
        return AVAILABLE
    return ERROR if row.observed in UNMADE else CREATING
