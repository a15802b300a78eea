"""The name of an attachment's state, derived from columns of several owners; as a function of a row
and as SQL. Pure.

    busy       detaching, and the guest holds it
    detaching  on its way out
    attaching  the guest runs and has not got it yet; of a volume also: launched, has never run
    attached   otherwise

    revision > devices_revision      attachment (compute/attachments/rules) > live placement
    (reports)

EC2 has no "busy" for network interfaces.
"""

from collections.abc import Mapping

from peewee import Expression, fn

from controller.tables.compute import Attachment, Placement
from controller.tables.hosts import Assignment

VOLUME, INTERFACE = "volume", "network_interface"  # kinds of devices
ATTACHING, ATTACHED, DETACHING, BUSY = "attaching", "attached", "detaching", "busy"


def volume_attachment_state(
    row, ran_ms: int | None, guest: str | None, devices_revision: int | None
) -> str:
    """Of a row with detaching, busy and attach_revision, and what was observed of its instance's
    live placement; all None where there is none."""
    if row.detaching:
        return BUSY if row.busy else DETACHING
    if ran_ms == 0:
        return ATTACHING
    return _has_come(row.attach_revision, guest, devices_revision)


def interface_attachment_state(row) -> str:
    """Of a row with detaching, attach_revision, and its guest's observed and devices_revision."""
    if row.detaching:
        return DETACHING
    return _has_come(row.attach_revision, row.observed, row.devices_revision)


def _has_come(revision: int, guest: str | None, devices_revision: int | None) -> str:
    behind = revision > (devices_revision or 0)
    return ATTACHING if behind and guest == "running" else ATTACHED


_IS = Attachment.device_id.is_null(False)
_BEHIND = (fn.COALESCE(Assignment.observed, "") == "running") & (
    Attachment.revision > fn.COALESCE(Placement.devices_revision, 0)
)
_NEVER_RAN = fn.COALESCE(Placement.ran_ms, 1) == 0
_STAYS = _IS & ~Attachment.detaching
# On attachments joined with their guests.
VOLUME_STATES: Mapping[str, Expression] = {
    BUSY: _IS & Attachment.detaching & Attachment.busy,
    DETACHING: _IS & Attachment.detaching & ~Attachment.busy,
    ATTACHING: _STAYS & (_NEVER_RAN | _BEHIND),
    ATTACHED: _STAYS & ~(_NEVER_RAN | _BEHIND),
}
INTERFACE_STATES: Mapping[str, Expression] = {
    DETACHING: _IS & Attachment.detaching,
    ATTACHING: _STAYS & _BEHIND,
    ATTACHED: _STAYS & ~_BEHIND,
}
