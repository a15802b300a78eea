"""A hypervisor without guests, shipped for laptops, tests and simulations, and unreliable on
purpose.

    FakeHypervisor(clock, rng, Faults(create_fails=0.1, crash=0.05), state=FakeState(path))

It behaves as libvirt's driver does, with its guests' failures drawn from ``rng``: so a seed repeats
a run. Time passes when it is looked at (``clock``, milliseconds): with a manual clock nothing moves
by itself. ``later`` (delay_ms, call) makes it tell of changes by itself, as libvirt's events do: a
timer in production, the simulation's event queue there. Guests live in FakeState, which outlives
the agent: the same object in a simulation, a file in production.
"""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from hostagent.compute.drivers import GuestNic, Power
from hostagent.compute.hypervisors.fake_disks import FakeDisks
from hostagent.compute.hypervisors.fake_guests import LIVING, Guest
from hostagent.kernel.errors import DriverError
from hostagent.network.drivers import Port
from hostagent.storage.drivers import Disk
from protos.cloud.v1 import fleet_pb2


class FakeHypervisor(FakeDisks):
    """See the module's head. Thread-safe."""

    # -- drivers.Hypervisor --------------------------------------------------------------------

    def facts(self) -> fleet_pb2.HostFacts:
        return self._facts

    def power(self, instance_id: str) -> Power:
        with self._lock:
            self._maybe_fail()
            guest = self._guest(instance_id)
            return Power(guest.power) if guest else Power.NONE

    def create_paused(
        self,
        spec: fleet_pb2.InstanceSpec,
        disks: Sequence[Disk],
        ports: Sequence[Port],
        console: Path,
    ) -> None:
        with self._lock:
            self._check_there()
            name = spec.instance_id
            if name in self.state.guests:
                raise DriverError(f"domain {name} exists already", transient=False)
            if self._cursed.setdefault(name, self._happens(self.faults.never_works)):
                raise DriverError(f"{name} cannot run on this host", transient=False)
            if self._happens(self.faults.create_fails):
                raise DriverError(f"{name}: the hypervisor failed to start it")
            deaf = self._happens(self.faults.deaf)
            nics = sorted(port.network_interface_id for port in ports)
            guest = Guest(Power.PAUSED.value, deaf=deaf, console=str(console), nics=nics)
            for disk in disks:
                self._give(guest, disk)
            self.state.guests[name] = guest
            self.state.keep()

    def resume(self, instance_id: str) -> None:
        with self._lock:
            self._maybe_fail()
            guest = self._alive(instance_id)
            if guest.power != Power.PAUSED.value:
                return
            guest.power = Power.RUNNING.value
            self._write_console(guest, f"{instance_id} login: ")
            for probability, end in (
                (self.faults.crash, Power.CRASHED),
                (self.faults.powers_off, Power.EXITED),
            ):
                if self._happens(probability):
                    self._plan(instance_id, end, self._rng.randint(1, self.faults.crash_ms))
            self._changed(instance_id)

    def shut_down(self, instance_id: str) -> None:
        with self._lock:
            self._maybe_fail()
            if not self._alive(instance_id).deaf:
                self._plan(instance_id, Power.EXITED, self.faults.shutdown_ms)

    def power_off(self, instance_id: str) -> None:
        with self._lock:
            self._maybe_fail()
            guest = self._guest(instance_id)
            if guest and guest.power in LIVING:
                guest.power, guest.next_power = Power.OFF.value, ""
                self._changed(instance_id)

    def reboot(self, instance_id: str) -> None:
        with self._lock:
            self._maybe_fail()
            guest = self._alive(instance_id)
            self._reboots_before[instance_id] = guest.reboots
            if not guest.deaf:
                self._plan(instance_id, Power.RUNNING, self.faults.shutdown_ms)

    def reboot_seen(self, instance_id: str) -> bool:
        with self._lock:
            guest = self._guest(instance_id)
            before = self._reboots_before.get(instance_id)
            return guest is not None and before is not None and guest.reboots > before

    def reset(self, instance_id: str) -> None:
        with self._lock:
            self._maybe_fail()
            self._alive(instance_id).reboots += 1
            self._changed(instance_id)

    def remove(self, instance_id: str) -> None:
        with self._lock:
            self._maybe_fail()
            if self.state.guests.pop(instance_id, None):
                self._changed(instance_id)

    def nics(self, instance_id: str) -> Sequence[GuestNic]:
        with self._lock:
            self._maybe_fail()
            guest = self._guest(instance_id)
            if guest is None:
                return []
            return [GuestNic(name, name in guest.forgotten) for name in guest.nics]

    def attach_nic(self, instance_id: str, port: Port) -> None:
        with self._lock:
            self._maybe_fail()
            guest, name = self._alive(instance_id), port.network_interface_id
            self._refuse_forgotten(guest)
            if name not in guest.nics:
                guest.nics[:] = sorted({*guest.nics, name})
                self._plugged(guest, name)

    def detach_nic(self, instance_id: str, network_interface_id: str) -> None:
        """A guest that does not listen to ACPI does not let go either."""
        with self._lock:
            self._maybe_fail()
            guest = self._alive(instance_id)
            if not guest.deaf and network_interface_id in guest.nics:
                guest.nics.remove(network_interface_id)
                self._let_go(instance_id, guest, network_interface_id)

    def domains(self) -> Collection[str]:
        with self._lock:
            self._check_there()
            return sorted(self.state.guests)

    def watch(self, on_change: Callable[[str], None]) -> None:
        self._on_change = on_change
