"""Volumes with what their states are derived from, and finding those that a caller named.

Called by volumes/rules, attachments, settle and describe inside their sessions.
"""

from collections.abc import Sequence

from peewee import JOIN, ModelSelect

from controller.db.schema import Instance, Placement, Volume
from controller.db.session import Session
from controller.instances import rest
from controller.lookup import check_ids, not_found

# Of the instance that a volume is attached to; None where there is none.
GUEST_FIELDS = (
    Placement.ran_ms,
    Placement.observed.alias("guest"),
    Placement.observed_generation.alias("guest_generation"),
    Placement.intent_generation,
    Placement.devices_generation,
    Placement.host_id.alias("guest_host_id"),
    Instance.desired.alias("wanted"),
)


def volumes_query(*more) -> ModelSelect:
    """All volumes, each with the guest that has it."""
    return (
        Volume.select(Volume, *GUEST_FIELDS, *more)
        .join(
            Placement,
            JOIN.LEFT_OUTER,
            on=(Placement.instance_id == Volume.instance_id) & Placement.live,
        )
        .join(Instance, JOIN.LEFT_OUTER, on=Instance.instance_id == Volume.instance_id)
    )


def find_volume(session: Session, account_id: str, volume_id: str):
    """The account's volume, a row of ``volumes_query``. Raises MALFORMED_ID, NOT_FOUND."""
    check_ids("volume", [volume_id])
    row = session.one(
        volumes_query().where(Volume.volume_id == volume_id, Volume.account_id == account_id)
    )
    if row is None:
        raise not_found("volume", volume_id)
    return row


def own(account_id: str, *more) -> ModelSelect:
    return volumes_query(*more).where(Volume.account_id == account_id)


def at_rest(row) -> bool:
    """Nothing runs that could have the volume's disk."""
    return rest.at_rest(row.wanted, row.guest, row.guest_generation, row.intent_generation)


def ids_of(rows: Sequence) -> list[str]:
    return [row.volume_id for row in rows]
