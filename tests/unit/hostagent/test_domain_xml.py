"""Domains as XML: whole ones against golden files, and every declared property set somewhere.

A golden file is written anew with ``PILEUS_GOLDEN=write pytest ...``; read the difference.
"""

import inspect
import os
from dataclasses import replace
from pathlib import Path

import pytest

from hostagent.compute.hypervisors.libvirt import domain_xml
from hostagent.compute.hypervisors.libvirt.domain_xml import Settings, render, serial_of, uuid_of
from hostagent.compute.hypervisors.libvirt.xml_elements import Element, Value
from hostagent.network.drivers import Port
from hostagent.storage.drivers import Disk
from protos.cloud.v1.fleet_pb2 import InstanceSpec, RemoteDisk

GOLDEN = Path(__file__).parent / "golden"
HOST = "h-00000000000000001"
ROOT = Disk(
    "vol-0123456789abcdef0",
    "/dev/xvda",
    Path("/state/volumes/vol-0123456789abcdef0.qcow2"),
    "qcow2",
    Path("/state/images/abc.raw"),
    "raw",
)
DATA = Disk(
    "vol-0000000000000000d", "/dev/sdf", Path("/state/volumes/d.qcow2"), "qcow2", position=1
)
LAYERED = Disk(
    "vol-0000000000000000e",
    "/dev/xvdg",
    Path("/state/volumes/e.2.qcow2"),
    "qcow2",
    Path("/state/images/abc.raw"),
    "raw",
    (Path("/state/volumes/e.1.qcow2"), Path("/state/volumes/e.0.qcow2")),
    iops=300,
    throughput_mibps=125,
    position=2,
)
SERVED = Disk(
    "vol-0000000000000000f",
    "/dev/sdh",
    Path(),
    "raw",
    remote=RemoteDisk(
        host_id="h-00000000000000002", host="192.0.2.2", port=10809, export_name="vol-f"
    ),
    position=1,
)
PORT = Port("eni-0123456789abcdef0", "tapab0123456789a", "02:00:00:00:00:01", 1450)
SECOND = Port("eni-0123456789abcdef1", "tapab0123456789b", "02:00:00:00:00:02", 1450, 2)
CONSOLE = Path("/state/instances/i-0123456789abcdef0.log")

CASES = {
    "emulated": (Settings("qemu"), [ROOT], [PORT]),
    "kvm": (Settings("kvm", machine="q35", cache="none"), [ROOT], [PORT]),
    "two-disks-two-ports": (Settings("qemu"), [ROOT, DATA], [PORT, SECOND]),
    "layers-and-served": (Settings("qemu"), [ROOT, LAYERED, SERVED], [PORT]),
}


def spec() -> InstanceSpec:
    return InstanceSpec(
        instance_id="i-0123456789abcdef0",
        instance_type="t3.micro",
        vcpus=2,
        memory_mib=1024,
        architecture="x86_64",
    )


@pytest.mark.parametrize("name", CASES)
def test_golden(name):
    settings, disks, ports = CASES[name]
    text = render(spec(), disks, ports, CONSOLE, settings, HOST)
    path = GOLDEN / f"{name}.xml"
    if os.environ.get("PILEUS_GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


def test_every_declared_property_is_used():
    """What nothing sets is not declared."""
    used: dict[type, set[str]] = {}

    def walk(element: Element) -> None:
        used.setdefault(type(element), set()).update(
            name for name, value in element.values.items() if value is not None
        )
        for value in element.values.values():
            for child in value if isinstance(value, list) else ():
                walk(child)

    for settings, disks, ports in CASES.values():
        walk(domain_xml.domain_of(spec(), disks, ports, CONSOLE, settings, HOST))
    walk(domain_xml.snapshot_of({"vda": None, "vdb": Path("/state/volumes/e.3.qcow2")}))
    declared = {
        kind: set(kind.declared())
        for _, kind in inspect.getmembers(domain_xml, inspect.isclass)
        if issubclass(kind, Element) and kind is not Element
    }
    assert declared == used


def test_what_is_not_declared_is_a_mistake():
    class Box(Element):
        tag = "box"
        size = Value("@size")

    assert Box(size=3).to_text() == '<box size="3"/>\n'
    with pytest.raises(TypeError, match="colour"):
        Box(colour="red")


def test_text_is_escaped():
    odd = spec()
    odd.instance_type = '<&">'
    text = render(odd, [], [], CONSOLE, Settings("qemu"), HOST)
    assert '<entry name="product">&lt;&amp;"&gt;</entry>' in text


def test_a_uuid_for_life_that_cloud_init_takes_for_ec2s():
    uuid = uuid_of("i-0123456789abcdef0")
    assert uuid == uuid_of("i-0123456789abcdef0")
    assert uuid.startswith("ec201234-5678-9abc-def0-")
    assert len(uuid) == 36
    assert uuid_of("i-12345678") != uuid_of("i-12345679")


def test_a_serial_fits_virtio():
    assert serial_of("vol-0123456789abcdef0") == "vol0123456789abcdef0"
    assert len(serial_of("vol-0123456789abcdef0")) == 20


@pytest.mark.parametrize("number, name", [(0, "vda"), (25, "vdz"), (26, "vdaa"), (52, "vdba")])
def test_disks_are_named_in_order(number, name):
    disks = [replace(DATA, device_name="/dev/vda")] * (number + 1)
    text = render(spec(), disks, [], CONSOLE, Settings("qemu"), HOST)
    assert text.count("<target dev=") == number + 1
    assert text.rpartition("<target dev=")[2].startswith(f'"{name}"')


@pytest.mark.parametrize(
    "asked, taken, name",
    [
        ("/dev/sdf", (), "vdf"),
        ("/dev/xvdba", (), "vdba"),
        ("/dev/sda1", ("vda",), "vdb"),
        ("/dev/sdf", ("vda", "vdf", "vdb"), "vdc"),
        ("xvdf", (), "vdb"),
    ],
)
def test_a_disks_name_is_what_was_asked_for_where_that_is_free(asked, taken, name):
    assert domain_xml.target_of(asked, taken) == name
