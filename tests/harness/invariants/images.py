"""Images of instances: of one moment, come to their end, as good as the snapshots behind them."""

from collections import defaultdict
from collections.abc import Iterator

from tests.harness.contents import without_zeros


def images_are_of_one_moment(world) -> Iterator[str]:
    """There was a moment at which all volumes of an instance's image held what its snapshots hold;
    of those at home on one host, as one host sees its own only. Looked at once, when the image
    becomes available."""
    known = world.seen.setdefault("images", set())
    found = defaultdict(list)
    for row in world.records.rows(_OF_INSTANCES):
        if row["image_id"] not in known:
            found[row["image_id"], row["host_id"]].append(row)
    for (image_id, host_id), snapshots in found.items():
        known.add(image_id)
        shared: set[tuple[int, int]] | None = None
        for row in snapshots:
            spans = set(_spans(world, row))
            shared = spans if shared is None else set(_common(shared, spans))
        if not shared:
            names = ", ".join(row["snapshot_id"] for row in snapshots)
            yield f"{image_id}: {names} of volumes on {host_id} are of no common moment"


_OF_INSTANCES = """
SELECT i.image_id, s.snapshot_id, s.volume_id, s.digest, s.started_ms, s.completed_ms, v.host_id
FROM image i JOIN image_block_device d ON d.image_id = i.image_id
JOIN snapshot s ON s.snapshot_id = d.snapshot_id AND s.started_ms = i.created_ms
JOIN volume v ON v.volume_id = s.volume_id
WHERE i.status = 'active' AND i.source_instance_id <> '' AND s.status = 'completed'
"""


def _spans(world, row) -> Iterator[tuple[int, int]]:
    """When the volume held what the snapshot holds."""
    held = world.contents.snapshots[row["digest"]]
    moments = world.contents.moments(row["volume_id"], row["started_ms"], row["completed_ms"])
    for first_ms, last_ms, content in moments:
        if without_zeros(content) == held:
            yield first_ms, last_ms


def _common(spans, others) -> Iterator[tuple[int, int]]:
    for first_ms, last_ms in spans:
        for since_ms, until_ms in others:
            if max(first_ms, since_ms) <= min(last_ms, until_ms):
                yield max(first_ms, since_ms), min(last_ms, until_ms)


# At rest.


def images_settle(world) -> Iterator[str]:
    """An image of an instance is available or failed, unless a host that is dead for ever has one
    of its snapshots still to copy."""
    dead = {host.host_id for host in world.hosts if not host.alive}
    for row in world.records.rows(_WAITING):
        if row["host_id"] not in dead:
            yield f"{row['image_id']} is pending for ever"


_WAITING = """
SELECT i.image_id, max(s.host_id) AS host_id FROM image i
LEFT JOIN image_block_device d ON d.image_id = i.image_id
LEFT JOIN snapshot s ON s.snapshot_id = d.snapshot_id AND s.status = 'pending'
WHERE i.status = 'snapshotting' GROUP BY i.image_id
"""


def images_are_whole(world) -> Iterator[str]:
    """What an available image says of its root disk is so of the snapshot that this is made of."""
    for row in world.records.rows(_ROOTS):
        if row["status"] is None:
            continue  # another's, who has deleted it
        said = (row["digest"], row["size_bytes"])
        so = (row["snapshot_digest"], row["snapshot_bytes"])
        if row["status"] != "completed" or said != so:
            yield f"{row['image_id']} has {said}, its root snapshot {row['status']} {so}"


_ROOTS = """
SELECT i.image_id, i.digest, i.size_bytes, s.status, s.digest AS snapshot_digest,
  s.size_bytes AS snapshot_bytes
FROM image i JOIN image_block_device d ON d.image_id = i.image_id AND d.position = 0
LEFT JOIN snapshot s ON s.snapshot_id = d.snapshot_id
WHERE i.status = 'active' AND i.disk_format = 'blocks'
"""
