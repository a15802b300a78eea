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
from typing import Protocol

from peewee import fn

from controller.kernel.table import Clause
from controller.tables.compute import Attachment, Placement
from controller.tables.hosts import Assignment

VOLUME, INTERFACE = "volume", "network_interface"  # kinds of devices
ATTACHING, ATTACHED, DETACHING, BUSY = "attaching", "attached", "detaching", "busy"


class Attached(Protocol):
    """A row with a device's attachment; all None where it has none."""

    @property
    def detaching(self) -> bool | None: ...
    @property
    def busy(self) -> bool | None: ...
    @property
    def attach_revision(self) -> int | None: ...


class WithGuest(Attached, Protocol):
    """And what was observed of its instance's live placement; None where there is none."""

    @property
    def observed(self) -> str | None: ...
    @property
    def devices_revision(self) -> int | None: ...


def volume_attachment_state(
    row: Attached, ran_start: int | None, guest: str | None, devices_revision: int | None
) -> str:
    """With what was observed of its instance's live placement; all None where there is none."""
    if row.detaching:
        return BUSY if row.busy else DETACHING
    if ran_start == 0:
        return ATTACHING
    return _has_come(row.attach_revision, guest, devices_revision)


def interface_attachment_state(row: WithGuest) -> str:
    if row.detaching:
        return DETACHING
    return _has_come(row.attach_revision, row.observed, row.devices_revision)


def _has_come(revision: int | None, guest: str | None, devices_revision: int | None) -> str:
    behind = (revision or 0) > (devices_revision or 0)
    return ATTACHING if behind and guest == "running" else ATTACHED


_IS = Attachment.device_id.is_null(False)
_BEHIND = (fn.COALESCE(Assignment.observed, "") == "running") & (
    Attachment.revision > fn.COALESCE(Placement.devices_revision, 0)
)
_NEVER_RAN = fn.COALESCE(Placement.ran_start, 1) == 0
_STAYS = _IS & ~Attachment.detaching
# On attachments joined with their guests.
VOLUME_STATES: Mapping[str, Clause] = {
    BUSY: _IS & Attachment.detaching & Attachment.busy,
    DETACHING: _IS & Attachment.detaching & ~Attachment.busy,
    ATTACHING: _STAYS & (_NEVER_RAN | _BEHIND),
    ATTACHED: _STAYS & ~(_NEVER_RAN | _BEHIND),
}
INTERFACE_STATES: Mapping[str, Clause] = {
    DETACHING: _IS & Attachment.detaching,
    ATTACHING: _STAYS & _BEHIND,
    ATTACHED: _STAYS & ~_BEHIND,
}
