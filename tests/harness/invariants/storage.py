"""Volumes and snapshots: one writer, nothing lost, every snapshot what its volume was.

Contents are compared with what guests wrote (``world.contents``), blocks with their names by plain
hashing; manifests are taken apart here, by their description.
"""

import functools
import hashlib
import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.harness.contents import BLOCK, Content, read_all, value_in, without_zeros

MIB = 1024 * 1024
_ZEROS = bytes(BLOCK)
QUIESCED_CHAIN = 2  # layers: one that is written, and all that is frozen as one


def a_volume_has_one_writer(world) -> Iterator[str]:
    """A guest where the volume is at home, or what serves it to another host, and of those one;
    it is served to one host at most, and one guest in the cloud has it."""
    openers, guests = defaultdict(list), defaultdict(list)
    for host in world.hosts:
        for volume_id, guest, layer in host.writers():
            if layer is not None:
                openers[volume_id].append(f"{guest or 'its server'} on {host.host_id}")
            if guest:
                guests[volume_id].append(f"{guest} on {host.host_id}")
        for volume_id, host_ids in host.exports.hosts.items():
            if len(host_ids) > 1:
                yield f"{volume_id} is served to {', '.join(host_ids)}"
    for holders in (openers, guests):
        for volume_id, names in holders.items():
            if len(names) > 1:
                yield f"{volume_id} is open in {', '.join(names)}"


def every_writer_writes_the_top(world) -> Iterator[str]:
    """The layer that is open for writing is there, and above it is nothing but what was never
    written; layers are in order."""
    for host in world.hosts:
        for volume_id, guest, name in host.writers():
            if name is None:
                continue
            volume = host.volumes.made.get(volume_id)
            if volume is None:
                yield f"{volume_id} is open in {guest or 'its server'} and not on {host.host_id}"
                continue
            layers = {f"{volume_id}.{layer.number}.qcow2": layer for layer in volume.layers}
            if name not in layers:
                yield f"{guest or 'the server'} writes {name}, there are {list(layers)}"
                continue
            number = layers[name].number
            if any(layer.blocks for layer in volume.layers if layer.number > number):
                yield f"{guest or 'the server'} writes {name}, below {list(layers)}"


def snapshots_are_of_a_moment(world) -> Iterator[str]:
    """What a completed snapshot holds is what its volume held at some moment between the request
    and the completion. Looked at once, when it is completed; all volumes' beginnings follow."""
    known = world.seen.setdefault("snapshots", set())
    for row in world.records.table("snapshot"):
        if row["status"] != "completed" or row["snapshot_id"] in known:
            continue
        known.add(row["snapshot_id"])
        volume_id = row["volume_id"]
        try:
            found = _held(world.blocks, row["digest"])
        except _Damaged as damage:
            yield f"{row['snapshot_id']}: {damage}"
            continue
        moments = world.contents.moments(volume_id, row["started_ms"], row["completed_ms"])
        if found not in map(without_zeros, moments):
            yield f"{row['snapshot_id']} of {volume_id} holds {found}, which was at no moment"
        world.contents.snapshots[row["digest"]] = found
    for row in world.records.table("held_volume"):
        world.contents.begin(row["volume_id"], row["digest"] if _is_restored(row) else None)


def _is_restored(row) -> bool:
    return row["disk_format"] == "blocks"


# Quiesced.


def snapshots_are_whole(world) -> Iterator[str]:
    """Of each snapshot that is completed, and each one that a volume began as: the manifest is in
    the store with every block that it names, byte for byte."""
    digests = {
        row["digest"]: row["snapshot_id"]
        for row in world.records.table("snapshot")
        if row["status"] == "completed"
    }
    digests |= {
        row["digest"]: row["image_id"]
        for row in world.records.table("image")
        if row["disk_format"] == "blocks" and row["status"] == "active"
    }
    digests |= {
        row["digest"]: row["volume_id"]
        for row in world.records.table("held_volume")
        if _is_restored(row)
    }
    for digest, name in digests.items():
        try:
            _, entries = _manifest(world.blocks, digest)
            for hash_hex in entries.values():
                _named(world.blocks, "blocks", hash_hex)
        except _Damaged as damage:
            yield f"{name}: {damage}"


def volumes_read_as_written(world) -> Iterator[str]:
    """On every machine, whether or not an agent lives there."""
    hosts = {host.host_id: host for host in world.hosts}
    for row in world.records.table("held_volume"):
        volume_id, volumes = row["volume_id"], hosts[row["host_id"]].volumes
        if volume_id not in volumes.made:
            continue
        content, layers = world.contents.of(volume_id), volumes.made[volume_id].layers
        written = {index * BLOCK for layer in layers for index in layer.blocks}
        read = functools.partial(volumes.read, volume_id, layers[-1].number)
        if (found := read_all(content.keys() | written, read)) != without_zeros(content):
            yield f"{volume_id} reads as {found}, written was {without_zeros(content)}"


def volumes_converge(world) -> Iterator[str]:
    """What is wanted of volumes and snapshots is so: nothing is on its way, but for what a guest
    that does not listen keeps, and what is on a host that is dead for ever."""
    dead = {host.host_id for host in world.hosts if not host.alive}
    for row in world.records.rows(_VOLUMES):
        name = row["volume_id"]
        if {row["host_id"], row["guest_host_id"]} & dead:
            continue
        if row["desired"] == "deleted":
            yield f"{name} is deleted and still there"
        elif not row["made"] and row["observed"] != "failed":
            yield f"{name} is being made for ever"
        elif row["detaching"] and not _keeps(world, row["instance_id"], name):
            yield f"{name} is being detached from {row['instance_id']} for ever"
        elif row["failed"]:
            yield f"{name} could not be given to {row['instance_id']} and is still there"
        if row["state"] == "modifying":
            yield f"{name} is being modified for ever"
    for row in world.records.table("snapshot"):
        if row["status"] in ("pending", "deleting") and row["host_id"] not in dead:
            yield f"{row['snapshot_id']} is {row['status']} for ever"


_VOLUMES = """
SELECT v.*, p.host_id AS guest_host_id, m.state, s.observed FROM held_volume v
LEFT JOIN assignment s ON s.kind = 'volume' AND s.resource_id = v.volume_id
LEFT JOIN placement p ON p.instance_id = v.instance_id AND p.live
LEFT JOIN volume_modification m ON m.volume_id = v.volume_id
"""


def _keeps(world, instance_id: str, volume_id: str) -> bool:
    """A guest that does not listen has it."""
    for host in world.hosts:
        guest = host.state.guests.get(instance_id)
        if guest is not None and guest.deaf and volume_id in guest.disks:
            return True
    return False


def guests_have_their_disks(world) -> Iterator[str]:
    """A running guest has the disks of the database, each as large as it says, from where it says;
    no other."""
    wanted = defaultdict(dict)
    for row in world.records.table("held_volume"):
        wanted[row["instance_id"]][row["volume_id"]] = row
    for host in world.hosts:
        if not host.alive:
            continue
        for name in host.living():
            has = host.state.guests[name].disks
            rows = {volume_id: row for volume_id, row in wanted[name].items()}
            for volume_id in sorted(has.keys() - rows.keys()):
                yield f"{name} has {volume_id}, which is not attached to it"
            for volume_id, row in rows.items():
                if volume_id not in has:
                    if not row["detaching"]:
                        yield f"{name} lacks {volume_id}"
                    continue
                size_bytes = has[volume_id].size_bytes
                reached = row["host_id"] == host.host_id or world.served_to(host, volume_id)
                if size_bytes != row["size_gib"] * 1024 * MIB and reached:
                    yield f"{name} sees {size_bytes} bytes of {volume_id}: {row['size_gib']} GiB"
                if bool(has[volume_id].path) != (row["host_id"] == host.host_id):
                    yield f"{name} has {volume_id} of {row['host_id']} from elsewhere"


def nothing_is_left_of_volumes(world) -> Iterator[str]:
    """Served is what the database says, to whom it says; no frozen layer waits for a copy that is
    over; no snapshot is in a ledger."""
    rows = world.records.table("held_volume")
    for host in world.hosts:
        if not host.alive:
            continue
        wanted = {
            row["volume_id"]: (row["served_to"],)
            for row in rows
            if row["host_id"] == host.host_id and row["served_to"]
        }
        if host.exports.hosts != wanted:
            yield f"{host.host_id} serves {host.exports.hosts}, should serve {wanted}"
        for volume_id, volume in host.volumes.made.items():
            if len(volume.layers) > QUIESCED_CHAIN:
                yield f"{volume_id} has {len(volume.layers)} layers"
        for snapshot_id in host.ledger.snapshots.all():
            yield f"{snapshot_id} is still in the ledger of {host.host_id}"


# The store, read as the description of a manifest says (protos/manifest.py).


KNOWN = 64  # blocks of a MiB: guests of all runs write the same ones
_known: dict[str, bytes] = {}  # by what they hash to: comparing is cheaper than hashing again


class _Damaged(Exception):
    """A manifest or a block is not there, or not what its name says."""


def _held(blocks: Path, digest: str) -> Content:
    """All that a snapshot holds."""
    size_bytes, entries = _manifest(blocks, digest)
    content: Content = {}
    for index, hash_hex in entries.items():
        data = _named(blocks, "blocks", hash_hex)
        for start in range(0, MIB, BLOCK):
            block = data[start : start + BLOCK]
            if block != _ZEROS:
                content[index * MIB + start] = value_in(block)
    if beyond := [offset for offset in content if offset >= size_bytes]:
        raise _Damaged(f"it holds something at {beyond}, behind its end")
    return content


def _manifest(blocks: Path, digest: str) -> tuple[int, dict[int, str]]:
    data = _named(blocks, "manifests", digest.removeprefix("sha256:"))
    magic, size_bytes, block_bytes, count = struct.unpack_from(">8sQII", data)
    if magic != b"PILEUSM1" or block_bytes != MIB or len(data) != 24 + 36 * count:
        raise _Damaged(f"{digest} is no manifest")
    return size_bytes, {index: name.hex() for index, name in struct.iter_unpack(">I32s", data[24:])}


def _named(blocks: Path, kind: str, hash_hex: str) -> bytes:
    path = blocks / kind / hash_hex[:2] / hash_hex
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise _Damaged(f"{kind[:-1]} {hash_hex} is not in the store") from None
    if _known.get(hash_hex) != data:
        if hashlib.sha256(data).hexdigest() != hash_hex:
            raise _Damaged(f"{kind[:-1]} {hash_hex} is not what its name says")
        if len(_known) >= KNOWN:
            del _known[next(iter(_known))]
        _known[hash_hex] = data
    return data
