"""AttachVolume until the guest can read the disk, over raw libvirt attaching a like one.

Needs root and a cloud with real guests (``./pileus up``; give its --state-dir). In turn, to one
running guest, watched from inside it:

    raw    libvirt's attachDeviceFlags of a blank qcow2 file, with the XML that the cloud uses
    cloud  AttachVolume of a blank volume
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import libvirt

from bench import cloud as clouds
from bench.guests import guest, hypervisor, serial_of, strange_disk, until, until_state, volume
from bench.pairs import Spread, report
from hostagent.storage.drivers import Disk

RAW_VOLUME = "vol-00000000000000bec"


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench attach", description=__doc__)
    options.add_argument("--state-dir", type=Path, required=True)
    options.add_argument("--rounds", type=int, default=8)
    chosen = options.parse_args()
    print(clouds.machine())
    cloud = clouds.running(chosen.state_dir)
    ours, raw = [], []
    with (
        guest(cloud) as there,
        volume(cloud, 1) as made,
        there.watch() as watch,
        tempfile.TemporaryDirectory(prefix="pileus-bench-") as folder,
    ):
        domain = hypervisor(cloud).lookupByName(there.instance_id)
        for number in range(chosen.rounds + 1):
            figures = by_cloud(cloud, there, made, watch), by_libvirt(domain, Path(folder), watch)
            if number:  # the first warms the caches
                ours.append(figures[0] * 1000)
                raw.append(figures[1] * 1000)
    ratio = [a / b for a, b in zip(ours, raw, strict=True)]
    report(
        "attach to a running guest, until it reads the disk: median (lowest .. highest)",
        [
            ("AttachVolume, ms", f"{Spread.of(ours):.0f}"),
            ("raw libvirt attach, ms", f"{Spread.of(raw):.0f}"),
            ("cloud / raw", f"{Spread.of(ratio):.2f}"),
        ],
    )


def by_cloud(cloud, there, volume_id: str, watch) -> float:
    ec2 = cloud.client()
    _, took = watch(
        serial_of(volume_id),
        lambda: ec2.attach_volume(
            VolumeId=volume_id, InstanceId=there.instance_id, Device="/dev/sdf"
        ),
    )
    until_state(ec2, volume_id, "in-use", "attached")
    ec2.detach_volume(VolumeId=volume_id)
    until_state(ec2, volume_id, "available")
    return took


def by_libvirt(domain: libvirt.virDomain, folder: Path, watch) -> float:
    path = folder / "disk.qcow2"
    if not path.exists():
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "1G"], check=True)
    disk = Disk(RAW_VOLUME, "/dev/sdg", path, "qcow2")
    xml = strange_disk(disk, "vdg")
    live = libvirt.VIR_DOMAIN_AFFECT_LIVE
    serial = serial_of(RAW_VOLUME)
    _, took = watch(serial, lambda: domain.attachDeviceFlags(xml, live))
    domain.detachDeviceFlags(xml, live)
    until(lambda: serial not in domain.XMLDesc(), "libvirt has let go of the raw disk")
    return took


if __name__ == "__main__":
    main()
