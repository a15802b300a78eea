"""KVM and QEMU through libvirt. Only this file, and those that it calls, import it.

    hypervisor = LibvirtHypervisor("qemu:///system", settings, host_id)
    hypervisor.start()      connects and lets libvirt look QEMU over (8 s the first time on a host);
                            where libvirtd is away, as soon as it is there

Domains are persistent (defined), so that one that is off still tells why; they never start by
themselves, for the ledger decides (docs/decisions/0201). When libvirtd dies the guests go on; calls
raise Unavailable until it is back, and then everything is looked at again. Every method may be
called from any thread. Source of the states' and events' meaning: libvirt-domain.h of libvirt 9.0.
"""

import contextlib
import os
import platform
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

import libvirt
import libvirt_qemu
from lxml import etree

from hostagent.compute.drivers import GuestNic, Power
from hostagent.compute.hypervisors.libvirt import disks as libvirt_disks
from hostagent.compute.hypervisors.libvirt import nics as libvirt_nics
from hostagent.compute.hypervisors.libvirt.connection import Connection
from hostagent.compute.hypervisors.libvirt.domain_elements import NAMESPACE
from hostagent.compute.hypervisors.libvirt.domain_xml import Settings, render
from hostagent.compute.hypervisors.libvirt.errors import translated
from hostagent.compute.hypervisors.libvirt.recovery import Left, Memory
from hostagent.kernel.errors import DriverError
from hostagent.network.drivers import Port
from hostagent.storage.drivers import Disk, GuestDisk
from protos.cloud.v1 import fleet_pb2

_SHUTOFF = {
    libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN: Power.EXITED,  # the guest did, asked or not
    libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED: Power.OFF,  # we did, or an operator
    libvirt.VIR_DOMAIN_SHUTOFF_CRASHED: Power.CRASHED,
    libvirt.VIR_DOMAIN_SHUTOFF_FAILED: Power.CRASHED,  # QEMU was killed
    libvirt.VIR_DOMAIN_SHUTOFF_DAEMON: Power.CRASHED,  # QEMU went while libvirtd was away
}
_POWER = {
    libvirt.VIR_DOMAIN_NOSTATE: Power.RUNNING,
    libvirt.VIR_DOMAIN_RUNNING: Power.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: Power.RUNNING,
    libvirt.VIR_DOMAIN_PMSUSPENDED: Power.RUNNING,  # asleep by its own will; it wakes itself
    libvirt.VIR_DOMAIN_PAUSED: Power.PAUSED,
    libvirt.VIR_DOMAIN_SHUTDOWN: Power.SHUTTING_DOWN,
    libvirt.VIR_DOMAIN_CRASHED: Power.CRASHED,
}
_PAUSED = {
    libvirt.VIR_DOMAIN_PAUSED_SHUTTING_DOWN: Power.SHUTTING_DOWN,
    libvirt.VIR_DOMAIN_PAUSED_CRASHED: Power.CRASHED,
}
_UNDEFINE_ALL = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)


class LibvirtHypervisor:
    """drivers.Hypervisor. See the module's head."""

    def __init__(self, uri: str, settings: Settings, host_id: str):
        self._settings, self._host_id = settings, host_id
        self._link = Connection(uri, self._begin, lambda: self._on_change(""))
        self._on_change: Callable[[str], None] = lambda name: None
        self._rebooted: set[str] = set()  # since they were last asked to
        self._killed: set[str] = set()  # QEMU was told to end by a signal: not the guest's will
        self._commit_failures: dict[libvirt_disks.Job, str] = {}
        self._memory = Memory()

    def start(self) -> None:
        """Raises DriverError where libvirt answers that it cannot run such guests here."""
        self._link.start()

    def stop(self) -> None:
        """Closes the connection; domains go on."""
        self._link.stop()

    # -- drivers.Hypervisor --------------------------------------------------------------------

    def facts(self) -> fleet_pb2.HostFacts:
        """The machine's, whether or not libvirt is there to be asked. Memory is left to
        /proc/meminfo.
        """
        return fleet_pb2.HostFacts(
            hypervisor=self._settings.virtual,
            vcpus=os.cpu_count() or 1,
            architecture=platform.machine(),
        )

    def away(self) -> str:
        return self._link.away()

    def power(self, instance_id: str) -> Power:
        with translated(instance_id):
            domain = self._find(instance_id)
            if domain is None:
                return Power.NONE
            state, reason = domain.state()
        if state == libvirt.VIR_DOMAIN_SHUTOFF:
            power = _SHUTOFF.get(reason, Power.OFF)  # UNKNOWN: never started, or the host was off
            by_signal = power is Power.EXITED and instance_id in self._killed
            return Power.CRASHED if by_signal else power
        if state == libvirt.VIR_DOMAIN_PAUSED:
            return _PAUSED.get(reason, Power.PAUSED)
        return _POWER.get(state, Power.RUNNING)

    def create_paused(
        self,
        spec: fleet_pb2.InstanceSpec,
        disks: Sequence[Disk],
        ports: Sequence[Port],
        console: Path,
    ) -> None:
        xml = render(spec, disks, ports, console, self._settings, self._host_id)
        with translated(spec.instance_id):
            domain = self._connected().defineXML(xml)
            self._killed.discard(spec.instance_id)
            self._memory.begin(domain)
            domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)

    def resume(self, instance_id: str) -> None:
        with self._at(instance_id) as (domain, _):
            if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
                domain.resume()

    def shut_down(self, instance_id: str) -> None:
        with translated(instance_id):
            self._existing(instance_id).shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)

    def power_off(self, instance_id: str) -> None:
        with translated(instance_id):
            _destroy(self._existing(instance_id))

    def reboot(self, instance_id: str) -> None:
        with translated(instance_id):
            self._rebooted.discard(instance_id)
            self._existing(instance_id).reboot(libvirt.VIR_DOMAIN_REBOOT_ACPI_POWER_BTN)

    def reboot_seen(self, instance_id: str) -> bool:
        return instance_id in self._rebooted

    def reset(self, instance_id: str) -> None:
        with translated(instance_id):
            self._existing(instance_id).reset()

    def remove(self, instance_id: str) -> None:
        with translated(instance_id):
            domain = self._find(instance_id)
            if domain is None:
                return
            if _owner(domain) != self._host_id:
                raise DriverError(
                    f"domain {instance_id} was not made by this host's agent: it is left alone",
                    transient=False,
                )
            _destroy(domain)
            domain.undefineFlags(_UNDEFINE_ALL)
        self._rebooted.discard(instance_id)
        self._killed.discard(instance_id)

    def disks(self, instance_id: str) -> Sequence[GuestDisk]:
        with translated(instance_id):
            domain = self._find(instance_id)
            if domain is None:
                return []
            left = self._memory.recalled(domain)
            return [*libvirt_disks.listed(domain), *left.disks]

    def holder(self, volume_id: str) -> str | None:
        with translated("the list of domains"):
            alive = libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE
            for domain in self._connected().listAllDomains(alive):
                if libvirt_disks.has(domain, volume_id) or self._memory.has(domain, volume_id):
                    return str(domain.name())
        return None

    def attach_disk(self, instance_id: str, disk: Disk) -> None:
        with self._at(instance_id, disk.volume_id) as (domain, left):
            left.refuse()
            libvirt_disks.attach(domain, disk, self._settings)

    def detach_disk(self, instance_id: str, volume_id: str) -> None:
        with self._at(instance_id, volume_id) as (domain, left):
            if not left.let_go(domain, volume_id):
                libvirt_disks.detach(domain, volume_id)

    def resize_disk(self, instance_id: str, volume_id: str, size_bytes: int) -> None:
        with self._at(instance_id, volume_id) as (domain, _):
            libvirt_disks.resize(domain, volume_id, size_bytes)

    def tune_disk(self, instance_id: str, volume_id: str, iops: int, throughput_mibps: int) -> None:
        with self._at(instance_id, volume_id) as (domain, _):
            libvirt_disks.tune(domain, volume_id, iops, throughput_mibps)

    def freeze_disks(self, instance_id: str, layers: Mapping[str, Path], quiesce: bool) -> None:
        with self._at(instance_id, *layers) as (domain, _):
            libvirt_disks.freeze(domain, layers, quiesce)

    def commit_disk(self, instance_id: str, volume_id: str, lowest: Path, top: Path) -> None:
        with self._at(instance_id, volume_id) as (domain, _):
            libvirt_disks.commit(domain, volume_id, lowest, top, self._commit_failures)

    def nics(self, instance_id: str) -> Sequence[GuestNic]:
        with translated(instance_id):
            domain = self._find(instance_id)
            if domain is None:
                return []
            left = self._memory.recalled(domain)
            return [*libvirt_nics.listed(domain), *left.nics]

    def attach_nic(self, instance_id: str, port: Port) -> None:
        with self._at(instance_id, port.network_interface_id) as (domain, left):
            left.refuse()
            libvirt_nics.attach(domain, port)

    def detach_nic(self, instance_id: str, network_interface_id: str) -> None:
        with self._at(instance_id, network_interface_id) as (domain, left):
            if not left.let_go(domain, network_interface_id):
                libvirt_nics.detach(domain, network_interface_id)

    def domains(self) -> Collection[str]:
        with translated("the list of domains"):
            return sorted(domain.name() for domain in self._connected().listAllDomains())

    def watch(self, on_change: Callable[[str], None]) -> None:
        self._on_change = on_change

    def destroy_all(self) -> list[str]:
        """Removes every domain that this host's agent made, in the ledger or not. Answers the names
        of those that it did not make.
        """
        with translated("the list of domains"):
            owners = {
                domain.name(): _owner(domain) for domain in self._connected().listAllDomains()
            }
        for name, owner in owners.items():
            if owner == self._host_id:
                self.remove(name)
        return sorted(name for name, owner in owners.items() if owner != self._host_id)

    # -- the connection ------------------------------------------------------------------------

    def _connected(self) -> libvirt.virConnect:
        return self._link.get()

    def _find(self, name: str) -> libvirt.virDomain | None:
        try:
            return self._connected().lookupByName(name)
        except libvirt.libvirtError as failure:
            if failure.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise

    def _existing(self, name: str) -> libvirt.virDomain:
        domain = self._find(name)
        if domain is None:
            raise DriverError(f"there is no domain {name}")
        return domain

    @contextlib.contextmanager
    def _at(self, name: str, *devices: str) -> Iterator[tuple[libvirt.virDomain, Left]]:
        """For a change of a domain or its devices, with what libvirt forgot of them."""
        with translated(f"{name}: {', '.join(devices)}" if devices else name):
            domain = self._existing(name)
            with self._memory.held(domain) as left:
                yield domain, left

    def _begin(self, connection: libvirt.virConnect) -> None:
        machine, virtual = self._settings.machine, self._settings.virtual
        connection.getDomainCapabilities(None, "x86_64", machine, virtual)
        self._memory.lost()
        for event, callback in (
            (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._lifecycle),
            (libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, self._reboot_event),
            (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, self._device_removed),
        ):
            connection.domainEventRegisterAny(None, event, callback, None)
        libvirt_qemu.qemuMonitorEventRegister(
            connection, None, "BLOCK_JOB_COMPLETED", self._job_ended, None, 0
        )

    # -- events: they only say where to look ---------------------------------------------------

    def _lifecycle(
        self,
        connection: libvirt.virConnect,
        domain: libvirt.virDomain,
        event: int,
        detail: int,
        opaque: object,
    ) -> None:
        name = domain.name()
        if event == libvirt.VIR_DOMAIN_EVENT_STARTED:
            self._killed.discard(name)
        elif (
            event == libvirt.VIR_DOMAIN_EVENT_SHUTDOWN
            and detail == libvirt.VIR_DOMAIN_EVENT_SHUTDOWN_HOST
        ):
            self._killed.add(name)
        self._on_change(name)

    def _device_removed(
        self,
        connection: libvirt.virConnect,
        domain: libvirt.virDomain,
        device: str,
        opaque: object,
    ) -> None:
        """The guest has let go of it."""
        self._on_change(domain.name())

    def _job_ended(
        self,
        connection: libvirt.virConnect,
        domain: libvirt.virDomain,
        event: str,
        seconds: int,
        micros: int,
        details: str,
        opaque: object,
    ) -> None:
        self._commit_failures |= libvirt_disks.failed_commit(domain, details)

    def _reboot_event(
        self, connection: libvirt.virConnect, domain: libvirt.virDomain, opaque: object
    ) -> None:
        self._rebooted.add(domain.name())
        self._on_change(domain.name())


def _destroy(domain: libvirt.virDomain) -> None:
    """Off, whether it was on or not."""
    try:
        domain.destroy()
    except libvirt.libvirtError as failure:
        if failure.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:  # not running
            raise


def _owner(domain: libvirt.virDomain) -> str | None:
    """The host id in the domain's mark; None where it has none, or is just being removed."""
    try:
        mark = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, NAMESPACE)
    except libvirt.libvirtError as failure:
        gone = (libvirt.VIR_ERR_NO_DOMAIN_METADATA, libvirt.VIR_ERR_NO_DOMAIN)
        if failure.get_error_code() in gone:
            return None
        raise
    return etree.fromstring(mark).get("host")
