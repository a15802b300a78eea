"""A snapshot of a 10 GB volume with 1 GB of data: time and bytes; the next one; a volume of it.

Needs root and a cloud with real guests (``./pileus up``; give its --state-dir). The volume stays
attached to a running guest, which has filled its first GiB with random data.

    first     CreateSnapshot until `completed`; over raw qemu-img convert of the same disk to a file
    second    the same after 64 MiB of it were written anew
    restore   CreateVolume of the second and AttachVolume, until another disk of the same guest is
              there; its data is compared by digest
"""

import argparse
import os
import subprocess
import tempfile
import time
import xml.etree.ElementTree as ET
from pathlib import Path

from bench import cloud as clouds
from bench.guests import Guest, attached, guest, hypervisor, serial_of, until, volume
from bench.pairs import report

MIB = 1 << 20
SIZE_GIB, DATA_MIB, CHANGED_MIB = 10, 1024, 64


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench snapshot", description=__doc__)
    options.add_argument("--state-dir", type=Path, required=True)
    chosen = options.parse_args()
    print(clouds.machine())
    cloud = clouds.running(chosen.state_dir)
    rows: list[tuple[str, object]] = []
    with (
        guest(cloud) as there,
        volume(cloud, SIZE_GIB) as made,
        attached(cloud, there, made) as disk,
    ):
        fill(there, disk, DATA_MIB)
        raw_s = raw_copy(cloud, there, made)
        first, first_s = snapshot(cloud, made, rows, "first")
        rows.append(("  over raw qemu-img convert", f"{first_s / raw_s:.2f} x ({raw_s:.1f} s)"))
        fill(there, disk, CHANGED_MIB)
        second, _ = snapshot(cloud, made, rows, "second, 64 MiB changed")
        restore(cloud, there, disk, second, rows)
        for snapshot_id in (first, second):
            cloud.client().delete_snapshot(SnapshotId=snapshot_id)
    report(f"snapshots of {SIZE_GIB} GiB with {DATA_MIB} MiB of data", rows)


def fill(there: Guest, disk: str, mib: int) -> None:
    write = f"dd if=/dev/urandom of={disk} bs=1M count={mib} conv=fsync 2>/dev/null"
    there.says(write)


def snapshot(cloud: clouds.Cloud, volume_id: str, rows: list, what: str) -> tuple[str, float]:
    """Its id and how long it took."""
    ec2, before = cloud.client(), stored_bytes(cloud)
    begin = time.perf_counter()
    made = ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"]
    answered_s = time.perf_counter() - begin

    def completed() -> bool:
        (found,) = ec2.describe_snapshots(SnapshotIds=[made])["Snapshots"]
        if found["State"] == "error":
            raise SystemExit(f"{made}: {found['StateMessage']}")
        return found["State"] == "completed"

    until(completed, f"{made} is completed")
    took_s = time.perf_counter() - begin
    rows += [
        (f"{what}: completed, s", f"{took_s:.1f} (answered after {answered_s * 1000:.0f} ms)"),
        ("  stored, MiB", f"{(stored_bytes(cloud) - before) / MIB:.0f}"),
    ]
    return made, took_s


def restore(cloud, there: Guest, disk: str, snapshot_id: str, rows: list) -> None:
    digest = f"dd if={{}} bs=1M count={DATA_MIB} 2>/dev/null | md5sum"
    ec2, begin = cloud.client(), time.perf_counter()
    wanted = there.says(digest.format(disk))
    source_s = time.perf_counter() - begin
    begin = time.perf_counter()
    with volume(cloud, SIZE_GIB, snapshot_id) as again, there.watch() as watch:
        made_s = time.perf_counter() - begin
        name, took_s = watch(
            serial_of(again),
            lambda: ec2.attach_volume(
                VolumeId=again, InstanceId=there.instance_id, Device="/dev/sdg"
            ),
        )
        begin = time.perf_counter()
        if there.says(digest.format(f"/dev/{name}")) != wanted:
            raise SystemExit(f"{again} is not as {snapshot_id} was")
        rows.append(("a volume of it: available, s", f"{made_s:.1f}"))
        rows.append(("  attached and readable, s more", f"{took_s:.1f}"))
        ratio = (time.perf_counter() - begin) / source_s
        rows.append(("  its data is right; digested in the guest / the source's", f"{ratio:.2f} x"))
        ec2.detach_volume(VolumeId=again)


def raw_copy(cloud: clouds.Cloud, there: Guest, volume_id: str) -> float:
    """Seconds that qemu-img takes to copy the disk as it is to one file, synced."""
    domain = hypervisor(cloud).lookupByName(there.instance_id)
    source = next(
        disk.find("source").get("file")
        for disk in ET.fromstring(domain.XMLDesc()).iterfind("devices/disk")
        if disk.findtext("serial") == serial_of(volume_id)
    )
    with tempfile.TemporaryDirectory(prefix="pileus-bench-", dir=cloud.state_dir) as folder:
        target = Path(folder) / "copy.qcow2"
        begin = time.perf_counter()
        copy = ["qemu-img", "convert", "-U", "-f", "qcow2", "-O", "qcow2", source, target]
        subprocess.run(copy, check=True)
        with target.open("rb+") as file:
            os.fsync(file.fileno())
        return time.perf_counter() - begin


def stored_bytes(cloud: clouds.Cloud) -> int:
    """What the controller's state takes on disk: the store of blocks is in it."""
    files = (cloud.state_dir / "controller").rglob("*")
    return sum(path.stat().st_blocks * 512 for path in files if path.is_file())


if __name__ == "__main__":
    main()
