"""A domain's XML, as declared elements; nothing here talks to libvirt.

    render(spec, disks, ports, console, settings, host_id) -> str

The format is libvirt's (https://libvirt.org/formatdomain.html). Golden files in the tests show
whole domains. Called by libvirt_driver.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hostagent.drivers import Disk, Port
from hostagent.hypervisors.xml_elements import Children, Element, Flag, Value
from protos.cloud.v1 import fleet_pb2

# Marks a domain as ours, and whose: a name alone proves nothing.
NAMESPACE = "https://pileus.cloud/xmlns/domain/1"
GUEST_AGENT = "org.qemu.guest_agent.0"
# QEMU's own CPU with what makes it x86-64-v2, which today's distributions are built for.
EMULATED_CPU = "qemu64"
EMULATED_FEATURES = ("cx16", "lahf_lm", "popcnt", "sse4.1", "sse4.2", "ssse3")


@dataclass(frozen=True)
class Settings:
    """What the operator may choose. ``virtual`` is "kvm" or "qemu" (emulation, TCG)."""

    virtual: str
    machine: str = "pc"
    cache: str = "writeback"
    tcg_translation_mib: int = 32


class Owner(Element):
    tag = f"{{{NAMESPACE}}}instance"
    nsmap = {"pileus": NAMESPACE}
    instance_id = Value("@id")
    host_id = Value("@host")


class Feature(Element):
    tag = "feature"
    policy = Value("@policy")
    name = Value("@name")


class Cpu(Element):
    tag = "cpu"
    mode = Value("@mode")
    match = Value("@match")
    check = Value("@check")
    model = Value("model")
    features = Children("")


class Entry(Element):
    tag = "entry"
    name = Value("@name")
    text = Value("")


class BackingStore(Element):
    """Stated to its end, so that libvirt probes no file for a format."""

    tag = "backingStore"
    kind = Value("@type")
    disk_format = Value("format/@type")
    path = Value("source/@file")
    end = Flag("backingStore")


class DiskDevice(Element):
    tag = "disk"
    kind = Value("@type")
    device = Value("@device")
    driver = Value("driver/@name")
    disk_format = Value("driver/@type")
    cache = Value("driver/@cache")
    discard = Value("driver/@discard")
    path = Value("source/@file")
    backing = Children("")
    target = Value("target/@dev")
    bus = Value("target/@bus")
    serial = Value("serial")
    boot_order = Value("boot/@order")


class Interface(Element):
    """On a tap that the network driver made; ``managed`` "no" keeps libvirt's hands off it."""

    tag = "interface"
    kind = Value("@type")
    mac_address = Value("mac/@address")
    tap = Value("target/@dev")
    managed = Value("target/@managed")
    model = Value("model/@type")
    mtu = Value("mtu/@size")
    rom = Value("rom/@enabled")


class Serial(Element):
    tag = "serial"
    kind = Value("@type")
    path = Value("source/@path")
    append = Value("source/@append")
    port = Value("target/@port")


class Channel(Element):
    tag = "channel"
    kind = Value("@type")
    target_type = Value("target/@type")
    target_name = Value("target/@name")


class Balloon(Element):
    tag = "memballoon"
    model = Value("@model")
    stats_period = Value("stats/@period")


class Rng(Element):
    tag = "rng"
    model = Value("@model")
    backend = Value("backend/@model")
    source = Value("backend")


class Domain(Element):
    tag = "domain"
    kind = Value("@type")
    name = Value("name")
    uuid = Value("uuid")
    metadata = Children("metadata")
    memory_unit = Value("memory/@unit")
    memory = Value("memory")
    vcpus = Value("vcpu")
    sysinfo = Value("sysinfo/@type")
    system = Children("sysinfo/system")
    arch = Value("os/type/@arch")
    machine = Value("os/type/@machine")
    os_type = Value("os/type")
    smbios = Value("os/smbios/@mode")
    acpi = Flag("features/acpi")
    apic = Flag("features/apic")
    tcg_cache_unit = Value("features/tcg/tb-cache/@unit")
    tcg_cache = Value("features/tcg/tb-cache")
    cpu = Children("")
    clock = Value("clock/@offset")
    on_poweroff = Value("on_poweroff")
    on_reboot = Value("on_reboot")
    on_crash = Value("on_crash")
    devices = Children("devices")


def render(
    spec: fleet_pb2.InstanceSpec,
    disks: Sequence[Disk],
    ports: Sequence[Port],
    console: Path,
    settings: Settings,
    host_id: str,
) -> str:
    """The whole domain as text."""
    return domain_of(spec, disks, ports, console, settings, host_id).to_text()


def domain_of(
    spec: fleet_pb2.InstanceSpec,
    disks: Sequence[Disk],
    ports: Sequence[Port],
    console: Path,
    settings: Settings,
    host_id: str,
) -> Domain:
    """Disks and interfaces are in the order given; the first disk boots."""
    emulated = settings.virtual == "qemu"
    uuid = uuid_of(spec.instance_id)
    return Domain(
        kind=settings.virtual,
        name=spec.instance_id,
        uuid=uuid,
        metadata=[Owner(instance_id=spec.instance_id, host_id=host_id)],
        memory_unit="MiB",
        memory=spec.memory_mib,
        vcpus=spec.vcpus,
        sysinfo="smbios",
        # What cloud-init's Ec2 data source looks for: a UUID that begins with ec2, as serial too.
        system=[
            Entry(name="manufacturer", text="Pileus"),
            Entry(name="product", text=spec.instance_type or "instance"),
            Entry(name="serial", text=uuid),
            Entry(name="uuid", text=uuid),
        ],
        arch=spec.architecture or "x86_64",
        machine=settings.machine,
        os_type="hvm",
        smbios="sysinfo",
        acpi=True,
        apic=True,
        tcg_cache_unit="MiB" if emulated else None,
        tcg_cache=settings.tcg_translation_mib if emulated else None,
        cpu=[_cpu(emulated)],
        clock="utc",
        on_poweroff="destroy",
        on_reboot="restart",
        on_crash="destroy",
        devices=[
            *(_disk(number, disk, settings) for number, disk in enumerate(disks)),
            *(_interface(port) for port in ports),
            Serial(kind="file", path=console, append="on", port=0),
            Channel(kind="unix", target_type="virtio", target_name=GUEST_AGENT),
            Rng(model="virtio", backend="random", source="/dev/urandom"),
            Balloon(model="virtio", stats_period=10),
        ],
    )


def uuid_of(instance_id: str) -> str:
    """An instance's UUID for life: "ec2", the id's digits, and a digest to fill it up."""
    digits = instance_id.rpartition("-")[2].lower()
    digits = digits if all(digit in "0123456789abcdef" for digit in digits) else ""
    filling = hashlib.sha256(instance_id.encode()).hexdigest()
    text = ("ec2" + digits + filling)[:32]
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def serial_of(volume_id: str) -> str:
    """What the guest sees as the disk's serial: EC2's NVMe disks leave the dash out, and virtio has
    room for 20 bytes.
    """
    return volume_id.replace("-", "")[:20]


def _cpu(emulated: bool) -> Cpu:
    if not emulated:
        return Cpu(mode="host-model")
    features = [Feature(policy="require", name=name) for name in EMULATED_FEATURES]
    return Cpu(mode="custom", match="exact", check="none", model=EMULATED_CPU, features=features)


def _disk(number: int, disk: Disk, settings: Settings) -> DiskDevice:
    backing = []
    if disk.backing is not None:
        backing = [
            BackingStore(kind="file", disk_format=disk.backing_format, path=disk.backing, end=True)
        ]
    return DiskDevice(
        kind="file",
        device="disk",
        driver="qemu",
        disk_format=disk.disk_format,
        cache=settings.cache,
        discard="unmap",
        path=disk.path,
        backing=backing,
        target=f"vd{_letters(number)}",
        bus="virtio",
        serial=serial_of(disk.volume_id),
        boot_order=1 if number == 0 else None,
    )


def _interface(port: Port) -> Interface:
    return Interface(
        kind="ethernet",
        mac_address=port.mac_address,
        tap=port.tap,
        managed="no",
        model="virtio",
        mtu=port.mtu,
        rom="no",
    )


def _letters(number: int) -> str:
    """0 -> a, 25 -> z, 26 -> aa."""
    letters = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return letters
