"""The names of a volume's and an attachment's state, derived from columns of several owners. Pure.

    volume                                     attachment
    deleting   desired deleted                 busy       detaching, and the guest holds it
    in-use     attached                        detaching  on its way out
    error      not made yet: failed, lost      attaching  the guest runs and has not got it yet, or
    creating   not made yet                               was launched and has never run
    available  otherwise                       attached   otherwise

    desired        present | deleted            volume, written by volumes/rules and settle
    made, observed '' making here failed gone   volume, written by fleet/reports
             lost                               its home says nothing (volumes/overdue)
    attach_generation > devices_generation      volume (attachments) > live placement (reports)

Read backwards for filters in volumes/conditions.
"""

CREATING, AVAILABLE, IN_USE, DELETING, ERROR = (
    "creating",
    "available",
    "in-use",
    "deleting",
    "error",
)
UNMADE = ("failed", "lost")
ATTACHING, ATTACHED, DETACHING, BUSY = "attaching", "attached", "detaching", "busy"


def volume_state(row) -> str:
    """Of a row with desired, instance_id, made and observed."""
    if row.desired == "deleted":
        return DELETING
    if row.instance_id:
        return IN_USE
    if row.made:
        return AVAILABLE
    return ERROR if row.observed in UNMADE else CREATING


def attachment_state(
    volume, ran_ms: int | None, guest: str | None, devices_generation: int | None
) -> str:
    """Of a volume's row (detaching, busy, attach_generation) and what was observed of its
    instance's live placement; all None where there is none."""
    if volume.detaching:
        return BUSY if volume.busy else DETACHING
    if ran_ms == 0:
        return ATTACHING
    behind = volume.attach_generation > (devices_generation or 0)
    return ATTACHING if behind and guest == "running" else ATTACHED
