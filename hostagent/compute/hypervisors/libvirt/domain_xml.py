"""A domain's XML, of declared elements (domain_elements); nothing here talks to libvirt.

    render(spec, disks, ports, console, settings, host_id) -> str

The format is libvirt's (https://libvirt.org/formatdomain.html). Golden files in the tests show
whole domains. Called by driver.
"""

import hashlib
import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hostagent.compute.hypervisors.libvirt import pci_places
from hostagent.compute.hypervisors.libvirt.domain_elements import (
    Address,
    BackingStore,
    Balloon,
    Channel,
    Controller,
    Cpu,
    DiskDevice,
    DiskSnapshot,
    Domain,
    DomainSnapshot,
    Entry,
    Feature,
    Interface,
    Owner,
    Rng,
    Serial,
)
from hostagent.compute.hypervisors.libvirt.pci_places import Bus, Place
from hostagent.network.drivers import Port
from hostagent.storage.drivers import Disk
from protos.cloud.v1 import fleet_pb2
from protos.rpc import dns_name

ALIAS = "ua-"  # libvirt keeps aliases that begin so
DEVICE_NAME = re.compile(r"/dev/(?:sd|xvd|hd|vd)([a-z]{1,2})\d*")
MIB = 1 << 20
NBD_RECONNECT_S = 60  # a volume's home that comes back within it was never away, for the guest
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
    bus = Bus.new(settings.machine)
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
            *_controllers(bus),
            *_disks(disks, settings, bus),
            *(interface_of(port, bus) for port in ports),
            Serial(kind="file", path=console, append="on", port=0),
            Channel(kind="unix", target_type="virtio", target_name=GUEST_AGENT),
            Rng(
                model="virtio",
                backend="random",
                source="/dev/urandom",
                address=_address(pci_places.RNG if bus else None),
            ),
            Balloon(
                model="virtio",
                stats_period=10,
                address=_address(pci_places.BALLOON if bus else None),
            ),
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


def _controllers(bus: Bus | None) -> Iterator[Controller]:
    """Those that libvirt would put where there is room, in the way of what is plugged in later."""
    if bus is not None:
        bridge, serial = _address(pci_places.BRIDGE), _address(pci_places.SERIAL)
        yield Controller(kind="pci", index=1, model="pci-bridge", address=bridge)
        yield Controller(kind="virtio-serial", index=0, address=serial)


def _address(place: Place | None) -> list[Address] | None:
    if place is None:
        return None
    return [Address(kind="pci", bus=f"{place.bus:#04x}", slot=f"{place.slot:#04x}")]


def _disks(disks: Sequence[Disk], settings: Settings, bus: Bus | None) -> Iterator[DiskDevice]:
    """The first boots, and is vda whatever it is called."""
    taken: set[str] = set()
    for number, disk in enumerate(disks):
        target = target_of(disk.device_name if number else "/dev/vda", taken)
        taken.add(target)
        yield disk_of(disk, target, settings, bus, boot_order=None if number else 1)


def target_of(device_name: str, taken: Collection[str]) -> str:
    """virtio's name for what EC2 calls /dev/sdf or /dev/xvdf, or the next that is free."""
    match = DEVICE_NAME.fullmatch(device_name)
    wanted = f"vd{match[1]}" if match else ""
    if wanted and wanted not in taken:
        return wanted
    return next(name for name in map(_letters, itertools.count(1)) if name not in taken)


def disk_of(
    disk: Disk, target: str, settings: Settings, bus: Bus | None, boot_order: int | None = None
) -> DiskDevice:
    """A disk by itself, too: what is attached to a running domain. It takes a place on ``bus``."""
    common = {
        "device": "disk",
        "driver": "qemu",
        "disk_format": disk.disk_format,
        "discard": "unmap",
        "target": target,
        "bus": "virtio",
        "bytes_per_s": disk.throughput_mibps * MIB or None,
        "iops": disk.iops or None,
        "serial": serial_of(disk.volume_id),
        "boot_order": boot_order,
        "alias": ALIAS + disk.volume_id,
        "address": _address(bus.take(pci_places.disk_places(disk.position)) if bus else None),
    }
    if disk.remote is not None:
        return DiskDevice(
            **common,
            kind="network",
            cache="none",
            error_policy="stop",  # the guest waits for its volume's home to come back
            read_error_policy="stop",
            protocol="nbd",
            export=disk.remote.export_name,
            tls="yes",
            tls_host=dns_name(f"host:{disk.remote.host_id}"),
            server=disk.remote.host,
            port=disk.remote.port,
            reconnect_s=NBD_RECONNECT_S,
        )
    layers = [("qcow2", path) for path in disk.frozen]
    if disk.backing is not None:
        layers.append((disk.backing_format, disk.backing))
    return DiskDevice(
        **common, kind="file", cache=settings.cache, path=disk.path, backing=[_backing(layers)]
    )


def snapshot_of(layers: Mapping[str, Path | None]) -> DomainSnapshot:
    """Disks by their targets: those with a file go on in it, the others as they are."""
    return DomainSnapshot(
        disks=[
            DiskSnapshot(target=target, snapshot="external", disk_format="qcow2", path=path)
            if path is not None
            else DiskSnapshot(target=target, snapshot="no")
            for target, path in layers.items()
        ]
    )


def _backing(layers: Sequence[tuple[str, Path]]) -> BackingStore:
    if not layers:
        return BackingStore()
    (disk_format, path), *rest = layers
    return BackingStore(kind="file", disk_format=disk_format, path=path, below=[_backing(rest)])


def interface_of(port: Port, bus: Bus | None) -> Interface:
    """As ``disk_of``."""
    return Interface(
        kind="ethernet",
        mac_address=port.mac_address,
        tap=port.tap,
        managed="no",
        model="virtio",
        mtu=port.mtu,
        rom="no",
        alias=ALIAS + port.network_interface_id,
        address=_address(bus.take(pci_places.nic_places(port.device_index)) if bus else None),
    )


def _letters(number: int) -> str:
    """0 -> vda, 25 -> vdz, 26 -> vdaa."""
    letters = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return f"vd{letters}"
