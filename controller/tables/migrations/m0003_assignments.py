"""Resources get revisions, hosts get assignments, devices get attachments (docs/decisions/0003).

What a resource was told and has seen were numbers of its host's generation. They become the
resource's revisions as they are: they were compared with each other only, and no host's ledger
holds a greater one. Every feed begins behind all that was said before, and at zero, so that each
host is told everything once more.
"""

from controller.kernel.database import Transaction
from controller.tables.migrations.rebuild import Old, rebuilt, script

_NEWEST_STAY = (
    "(SELECT {column} FROM old_placement AS stay WHERE stay.instance_id = old.instance_id"
    " ORDER BY stay.live DESC, stay.created_ms DESC, stay.placement_id DESC LIMIT 1)"
)
_VPC_REVISION = (
    "COALESCE((SELECT MAX(there.generation) FROM old_host_vpc AS there"
    " WHERE there.vpc_id = {of}.vpc_id), 1)"
)
_INSTANCE_REVISION = (
    "COALESCE((SELECT MAX(stay.generation) FROM old_placement AS stay"
    " WHERE stay.instance_id = {of}.instance_id), 1)"
)
_POSITION = "(SELECT at.generation + 1 FROM old_host AS at WHERE at.host_id = old.host_id)"


def apply(tx: Transaction) -> None:
    with rebuilt(tx, script(__file__), gone=("host_vpc",)) as old:
        old.copy("host", {"position": "old.generation + 1", "known_position": "0"})
        _copy_resources(old)
        _fill_assignments(old)
        _fill_attachments(old)


def _copy_resources(old: Old) -> None:
    old.copy("vpc", {"revision": _VPC_REVISION.format(of="old")})
    intent, metadata = (
        f"COALESCE({_NEWEST_STAY.format(column=column)}, {default})"
        for column, default in (("intent_generation", 1), ("metadata_wanted", 0))
    )
    old.copy(
        "instance",
        {
            "revision": _INSTANCE_REVISION.format(of="old"),
            "intent_revision": intent,
            "metadata_revision": metadata,
        },
    )
    old.copy(
        "placement",
        {
            "devices_revision": "old.devices_generation",
            "network_revision": "old.network_generation",
        },
    )
    old.copy("volume", {"revision": "old.generation"})
    old.copy(
        "volume_modification",
        {
            "volume_revision": "old.volume_generation",
            "devices_revision": "old.devices_generation",
        },
    )
    old.copy("snapshot", {"revision": "MAX(old.generation, 1)"})
    old.copy("network_interface")


def _fill_assignments(old: Old) -> None:
    """A stay that is over, a volume that only a launch made and a snapshot that is whole have
    none."""
    _assign(
        old,
        "old_placement AS old WHERE old.live",
        kind="'instance'",
        resource_id="old.instance_id",
        role="'guest'",
        revision=_INSTANCE_REVISION.format(of="old"),
        observed="old.observed",
        observed_revision="old.observed_generation",
        epoch="old.epoch",
        sequence="old.sequence",
        reason_code="old.reason_code",
        reason_message="old.reason_message",
        since_ms="old.since_ms",
    )
    _assign(
        old,
        "old_host_vpc AS old",
        kind="'vpc'",
        resource_id="old.vpc_id",
        role="'network'",
        revision=_VPC_REVISION.format(of="old"),
    )
    _assign(
        old,
        "old_volume AS old WHERE old.generation > 0 AND old.host_id IS NOT NULL",
        kind="'volume'",
        resource_id="old.volume_id",
        role="'home'",
        revision="old.generation",
        observed="old.observed",
        observed_revision="old.observed_generation",
        epoch="old.epoch",
        sequence="old.sequence",
        reason_message="old.observed_message",
    )
    _assign(
        old,
        "old_snapshot AS old WHERE old.host_id IS NOT NULL",
        kind="'snapshot'",
        resource_id="old.snapshot_id",
        role="'home'",
        revision="MAX(old.generation, 1)",
        epoch="old.epoch",
        sequence="old.sequence",
    )


def _assign(old: Old, source: str, **values: str) -> None:
    nothing_seen = {
        "observed": "''",
        "observed_revision": "0",
        "epoch": "0",
        "sequence": "0",
        "reason_code": "''",
        "reason_message": "''",
        "since_ms": "0",
    }
    where = {"host_id": "old.host_id", "position": _POSITION}
    old.fill("assignment", {**nothing_seen, **where, **values}, source)


def _fill_attachments(old: Old) -> None:
    shared = {
        name: f"old.{name}"
        for name in (
            "instance_id",
            "delete_on_termination",
            "attached_ms",
            "detaching",
            "busy",
            "failed",
        )
    } | {"revision": "old.attach_generation", "message": "old.attach_message"}
    old.fill(
        "attachment",
        {
            "device_id": "old.volume_id",
            "kind": "'volume'",
            "attachment_id": "''",
            "device_name": "old.device_name",
            "position": "old.position",
            "forced": "old.forced",
            **shared,
        },
        "old_volume AS old WHERE old.instance_id IS NOT NULL",
    )
    old.fill(
        "attachment",
        {
            "device_id": "old.network_interface_id",
            "kind": "'network_interface'",
            "attachment_id": "old.attachment_id",
            "device_name": "''",
            "position": "old.device_index",
            "forced": "0",
            **shared,
        },
        "old_network_interface AS old WHERE old.instance_id IS NOT NULL",
    )
