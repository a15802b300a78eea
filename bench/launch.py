"""What the cloud adds to a warm launch over raw qemu-img + libvirt, and the time to SSH.

Needs root and a cloud with real guests (``./pileus up``; give its --state-dir). In turn, on one
libvirtd, both watched in the same way:

    raw    qemu-img create of an overlay on the cached image, a tap, and libvirt's createXML of the
           very domain XML that the cloud made for its instance
    cloud  RunInstances until libvirt shows the instance's domain running
"""

import argparse
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import libvirt

from bench import cloud as clouds
from bench.guests import hypervisor, open_group
from bench.pairs import Spread, report

DEADLINE_S = 120


@dataclass(frozen=True)
class Launched:
    """One launch by the cloud, seen from outside."""

    domain_xml: str
    base: Path  # the cached image below its disk
    to_domain_s: float
    to_ssh_s: float


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench launch", description=__doc__)
    options.add_argument("--state-dir", type=Path, required=True)
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args()
    print(clouds.machine())
    cloud = clouds.running(chosen.state_dir)
    libvirtd = Libvirt(hypervisor(cloud))
    launch_and_end(cloud, libvirtd)  # warms the caches, uncounted
    raw, ours, to_ssh = [], [], []
    for _ in range(chosen.rounds):
        launched = launch_and_end(cloud, libvirtd)
        ours.append(launched.to_domain_s * 1000)
        to_ssh.append(launched.to_ssh_s)
        raw.append(libvirtd.raw_launch(launched) * 1000)
    added = [a - b for a, b in zip(ours, raw, strict=True)]
    ratio = [a / b for a, b in zip(ours, raw, strict=True)]
    report(
        "warm launch to a running domain: median (lowest .. highest)",
        [
            ("RunInstances to running domain, ms", f"{Spread.of(ours):.0f}"),
            ("raw qemu-img + libvirt, ms", f"{Spread.of(raw):.0f}"),
            ("added by the cloud, ms", f"{Spread.of(added):.0f}"),
            ("cloud / raw", f"{Spread.of(ratio):.2f}"),
            ("RunInstances to SSH's greeting, s", f"{Spread.of(to_ssh):.1f}"),
        ],
    )


def launch_and_end(cloud: clouds.Cloud, libvirtd: "Libvirt") -> Launched:
    """Launches one instance, waits for its domain and its SSH, and terminates it."""
    ec2, image = cloud.client(), cloud.image_id()
    group = open_group(ec2)
    begin = time.perf_counter()
    instance = ec2.run_instances(
        ImageId=image, InstanceType="t2.nano", MinCount=1, MaxCount=1, SecurityGroupIds=[group]
    )["Instances"][0]["InstanceId"]
    try:
        libvirtd.wait_running(instance)
        to_domain_s = time.perf_counter() - begin
        xml = libvirtd.domain_xml(instance)
        base = backing_file(disk_of(ET.fromstring(xml)))
        described = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"]
        wait_for_ssh(described[0]["PublicIpAddress"])
        return Launched(xml, base, to_domain_s, time.perf_counter() - begin)
    finally:
        ec2.terminate_instances(InstanceIds=[instance])
        ec2.get_waiter("instance_terminated").wait(
            InstanceIds=[instance], WaiterConfig={"Delay": 1, "MaxAttempts": DEADLINE_S}
        )


def wait_for_ssh(address: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((address, 22), timeout=0.5) as connection,
        ):
            connection.settimeout(2)
            if connection.recv(4) == b"SSH-":
                return
        time.sleep(0.05)
    raise SystemExit(f"no SSH on {address} within {DEADLINE_S} s")


def disk_of(domain: ET.Element) -> ET.Element:
    """The root disk's source element."""
    return domain.find("devices/disk[@device='disk']/source")


def backing_file(source: ET.Element) -> Path:
    command = ["qemu-img", "info", "-U", "-f", "qcow2", source.get("file")]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    line = next(line for line in text.splitlines() if line.startswith("backing file: "))
    return Path(line.removeprefix("backing file: ").partition(" (actual path")[0])


class Libvirt:
    """The libvirtd that the cloud uses, asked as its agent does: by libvirt-python."""

    def __init__(self, connection: libvirt.virConnect):
        self._connection = connection

    def domain_xml(self, name: str) -> str:
        """As it was defined, without what libvirt adds while it runs."""
        return self._connection.lookupByName(name).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)

    def wait_running(self, name: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not self._is_running(name):
            if time.monotonic() > deadline:
                raise SystemExit(f"{name} does not run after {DEADLINE_S} s")
            time.sleep(0.002)

    def _is_running(self, name: str) -> bool:
        try:
            return self._connection.lookupByName(name).state()[0] == libvirt.VIR_DOMAIN_RUNNING
        except libvirt.libvirtError:
            return False  # not there yet

    def raw_launch(self, like: Launched) -> float:
        """Seconds for an overlay, a tap and a domain like the instance's, until it is running."""
        name, tap = f"pileus-bench-{os.getpid()}", f"tapb{os.getpid() % 100000}"
        folder = Path(tempfile.mkdtemp(prefix="pileus-bench-"))
        disk = folder / "disk.qcow2"
        twin = a_twin(like.domain_xml, name, tap, disk, folder)
        overlay = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", like.base]
        try:
            begin = time.perf_counter()
            subprocess.run([*overlay, disk, "8G"], check=True)
            subprocess.run(["ip", "tuntap", "add", tap, "mode", "tap"], check=True)
            self._connection.createXML(twin)
            self.wait_running(name)
            return time.perf_counter() - begin
        finally:
            with contextlib.suppress(libvirt.libvirtError):  # it never came up
                self._connection.lookupByName(name).destroy()
            subprocess.run(["ip", "link", "delete", tap], check=False)
            shutil.rmtree(folder)


def a_twin(domain_xml: str, name: str, tap: str, disk: Path, folder: Path) -> str:
    """The instance's domain with a name, a tap, a disk and sockets of its own."""
    domain = ET.fromstring(domain_xml)
    domain.find("name").text = name
    for gone in ("uuid", "metadata"):
        if (element := domain.find(gone)) is not None:
            domain.remove(element)
    domain.find("devices/interface/target").set("dev", tap)
    disk_of(domain).set("file", str(disk))
    for source in domain.iterfind("devices//source[@path]"):
        source.set("path", str(folder / Path(source.get("path")).name))
    return ET.tostring(domain, encoding="unicode")


if __name__ == "__main__":
    main()
