"""Images: all volumes of one moment, with the guest off where it was to be, and made of what they
say; available or failed in the end."""

from collections import defaultdict
from collections.abc import Iterator

from tests.harness.contents import without_zeros


def images_are_of_one_moment(world) -> Iterator[str]:
    """Between the request and the completion there was a moment at which every volume held what its
    snapshot holds, and its guest did not live, unless NoReboot was asked for. Each volume's home
    has a moment of its own. Looked at once, when all are completed."""
    known = world.seen.setdefault("images", set())
    homes = world.seen.setdefault("homes", {})
    homes |= {row["volume_id"]: row["host_id"] for row in world.records.table("held_volume")}
    groups = defaultdict(list)
    for row in world.records.table("snapshot"):
        if row["image_id"] and row["image_id"] not in known:
            groups[row["image_id"]].append(row)
    for image_id, rows in groups.items():
        if any(row["status"] == "pending" for row in rows):
            continue
        known.add(image_id)
        at = defaultdict(list)
        for row in rows:
            if row["status"] == "completed":
                at[homes[row["volume_id"]]].append(row)
        for host_id, completed in at.items():
            off = world.answers.holdings.off.get(image_id)
            if not _was(world.contents, completed, off):
                guest = f", {off} being off" if off else ""
                yield f"the volumes of {image_id} on {host_id} are of no one moment{guest}"


def _was(contents, rows: list, off: str | None) -> bool:
    held = {row["volume_id"]: contents.snapshots[row["digest"]] for row in rows}
    since = min(row["started_ms"] for row in rows)
    until = max(row["completed_ms"] for row in rows)
    for together, lives in contents.together(held, off or "", since, until):
        same = all(without_zeros(together[name]) == found for name, found in held.items())
        if same and not lives:
            return True
    return False


def images_are_made_of_what_they_say(world) -> Iterator[str]:
    """The snapshots of an available image are there, completed, unless they are another's; it and
    the volumes that were made of a snapshot name that one's bytes."""
    images = {row["image_id"]: row for row in world.records.table("image")}
    snapshots = {row["snapshot_id"]: row for row in world.records.table("snapshot")}
    for disk in world.records.table("image_block_device"):
        image, snapshot = images[disk["image_id"]], snapshots.get(disk["snapshot_id"])
        if image["status"] != "active" or not disk["snapshot_id"]:
            continue
        if snapshot is None or snapshot["status"] != "completed":
            if snapshot is None or snapshot["account_id"] == image["account_id"]:
                yield f"{disk['snapshot_id']} of {image['image_id']} is gone"
        elif disk["position"] == 0:
            said = (image["digest"], image["size_bytes"])
            if said != (snapshot["digest"], snapshot["size_bytes"]):
                yield f"{image['image_id']} starts as {said}, not as {disk['snapshot_id']}"
    for volume in world.records.table("held_volume"):
        snapshot = snapshots.get(volume["snapshot_id"])
        if snapshot is not None and volume["digest"] != snapshot["digest"]:
            yield f"{volume['volume_id']} began as {volume['digest']}, not {volume['snapshot_id']}"


# Quiesced.


def images_converge(world) -> Iterator[str]:
    """Each is available, or failed because a snapshot of it did; it waits for a dead host only."""
    dead = {host.host_id for host in world.hosts if not host.alive}
    waited = defaultdict(list)
    for row in world.records.rows(_MADE_OF):
        waited[row["image_id"]].append(row)
    for image in world.records.table("image"):
        name, rows = image["image_id"], waited[image["image_id"]]
        if image["status"] == "snapshotting":
            if not any(row["status"] == "pending" and row["host_id"] in dead for row in rows):
                yield f"{name} is pending for ever"
        elif image["status"] == "killed" and all(row["status"] == "completed" for row in rows):
            yield f"{name} failed, its snapshots did not"


_MADE_OF = """
SELECT d.image_id, s.status, s.host_id FROM image_block_device d
LEFT JOIN snapshot s USING (snapshot_id) WHERE d.snapshot_id <> ''
"""
