"""Sequential and random IO in a guest: our disk, at home and over NBD, against a raw file.

Needs root, ioping (Debian's package) and a cloud with real guests (``./pileus up``; give its
--state-dir). One running guest has three disks, filled with random data, that take turns; all
through the host's page cache, as the cloud's disks go; the guest's own is passed by.

    raw    a raw file, attached by libvirt
    local  a volume, attached by the cloud
    nbd    a volume as a host serves it to others, NBD over mutual TLS, on loopback; by libvirt with
           the XML that the cloud uses
"""

import argparse
import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import libvirt

from bench import cloud as clouds
from bench.guests import Guest, attached, guest, hypervisor, serial_of, strange_disk, until, volume
from bench.pairs import Spread, report
from hostagent.enrolment import read_identity
from hostagent.kernel import shell
from hostagent.storage.drivers import Disk
from hostagent.storage.volumes.exports import QemuExports
from hostagent.storage.volumes.qcow2 import Qcow2Volumes
from protos.cloud.v1.fleet_pb2 import DiskSpec, RemoteDisk

GIB = 1 << 30
RAW, SERVED = "vol-00000000000000bed", "vol-00000000000000bee"
WAYS = ("raw", "local", "nbd")


@dataclass(frozen=True)
class Work:
    """``words`` make ioping do it, a request at a time."""

    name: str
    unit: str
    words: str


WORKS = (
    Work("sequential read, 1 MiB a request", "MiB/s", "-L -s 1m"),
    Work("sequential write, 1 MiB a request", "MiB/s", "-L -s 1m -WWW"),
    Work("random read of 4 KiB", "1/s", "-s 4k"),
    Work("random write of 4 KiB", "1/s", "-s 4k -WWW"),
)


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench disk_io", description=__doc__)
    options.add_argument("--state-dir", type=Path, required=True)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--mib", type=int, default=256, help="of each disk that are used")
    options.add_argument("--seconds", type=int, default=3, help="of each kind of IO each time")
    chosen = options.parse_args()
    program = shutil.which("ioping")
    if program is None:
        raise SystemExit("bench: ioping is missing: apt-get install ioping")
    print(clouds.machine())
    cloud = clouds.running(chosen.state_dir)
    with guest(cloud) as there, three_disks(cloud, there) as disks:
        ioping = f"{there.put(Path(program))} -B -q -D -R -S {chosen.mib}m -w {chosen.seconds}"
        for disk in disks.values():
            there.says(f"dd if=/dev/urandom of={disk} bs=1M count={chosen.mib} conv=fsync")
        for work in WORKS:
            measure(there, disks, work, f"{ioping} {work.words}", chosen.rounds)


def measure(there: Guest, disks: dict[str, str], work: Work, command: str, rounds: int) -> None:
    figures: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            # ioping -B: requests, nanoseconds, requests a second, ...
            said = there.says(f"{command} {disks[way]}").split()
            figures[way].append(float(said[2]))
    rows: list[tuple[str, object]] = [
        (f"{way}, {work.unit}", f"{Spread.of(figures[way]):.0f}") for way in WAYS
    ]
    for way in WAYS[1:]:
        ratio = [a / b for a, b in zip(figures[way], figures["raw"], strict=True)]
        rows.append((f"{way} / raw", f"{Spread.of(ratio):.2f}"))
    report(f"{work.name}: median (lowest .. highest)", rows)


@contextlib.contextmanager
def three_disks(cloud: clouds.Cloud, there: Guest) -> Iterator[dict[str, str]]:
    """way -> the disk's name in the guest."""
    domain = hypervisor(cloud).lookupByName(there.instance_id)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(_folder(cloud)))
        made = stack.enter_context(volume(cloud, 2))
        local = stack.enter_context(attached(cloud, there, made))
        raw = stack.enter_context(_by_libvirt(domain, there, a_raw_file(folder)))
        served = stack.enter_context(_served(cloud, folder))
        nbd = stack.enter_context(_by_libvirt(domain, there, served))
        yield {"raw": raw, "local": local, "nbd": nbd}


def _folder(cloud: clouds.Cloud):
    """On the file system that the cloud's disks are on."""
    return tempfile.TemporaryDirectory(prefix="pileus-bench-", dir=cloud.state_dir)


def a_raw_file(folder: Path) -> Disk:
    path = folder / "disk.raw"
    with path.open("wb") as file:
        file.truncate(2 * GIB)
    return Disk(RAW, "/dev/sdg", path, "raw", size_bytes=2 * GIB)


@contextlib.contextmanager
def _served(cloud: clouds.Cloud, folder: Path) -> Iterator[Disk]:
    """A volume served to this very host, by a storage daemon of its own."""
    (home,) = (cloud.state_dir / "hosts").iterdir()
    identity, port = read_identity(home / "pki"), clouds.free_port()
    volumes = Qcow2Volumes(folder / "volumes", shell.run)
    listen = f"127.0.0.1:{port}"
    exports = QemuExports(folder / "nbd", listen, "", identity.tls, volumes, shell.run)
    exports.start()
    try:
        disk = volumes.ensure(DiskSpec(volume_id=SERVED, size_bytes=2 * GIB), None)
        exports.serve(disk, [identity.host_id])
        remote = RemoteDisk(
            host_id=identity.host_id, host="127.0.0.1", port=port, export_name=SERVED
        )
        yield replace(disk, device_name="/dev/sdh", disk_format="raw", remote=remote)
    finally:
        exports.stop()


@contextlib.contextmanager
def _by_libvirt(domain: libvirt.virDomain, there: Guest, disk: Disk) -> Iterator[str]:
    target = f"vd{disk.device_name[-1]}"
    xml = strange_disk(disk, target)
    domain.attachDeviceFlags(xml, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    serial = serial_of(disk.volume_id)
    try:
        until(lambda: there.has(serial), f"{disk.volume_id} is in the guest", 0.2)
        yield there.disk(serial)
    finally:
        domain.detachDeviceFlags(xml, libvirt.VIR_DOMAIN_AFFECT_LIVE)
        until(lambda: serial not in domain.XMLDesc(), "libvirt has let go of it")


if __name__ == "__main__":
    main()
