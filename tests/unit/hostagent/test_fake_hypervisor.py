"""The fake hypervisor keeps drivers.Hypervisor's promises, and fails only as it is told to."""

import random
from pathlib import Path

import pytest

from hostagent.compute.drivers import Power
from hostagent.compute.hypervisors.fake import FakeHypervisor
from hostagent.compute.hypervisors.fake_guests import FakeState, Faults
from hostagent.kernel.errors import DriverError
from hostagent.storage.drivers import Disk
from protos.cloud.v1 import fleet_pb2
from tests.unit.hostagent.rig import Clock, instance


class Machine:
    def __init__(self, folder, state=None, **faults):
        self.clock, self.events = Clock(), []
        self.served: dict[str, int] = {}
        self.hypervisor = FakeHypervisor(
            self.clock,
            random.Random(3),
            Faults(**faults),
            state,
            served_bytes=self.served.__getitem__,
        )
        self.hypervisor.watch(self.events.append)
        self.folder = folder

    def launch(self, name="i-1"):
        self.hypervisor.create_paused(instance(name), [], [], self.folder / f"{name}.log")
        assert self.hypervisor.power(name) is Power.PAUSED
        self.hypervisor.resume(name)

    def after(self, span_ms):
        self.clock.now_ms += span_ms
        self.hypervisor.tick()


def test_a_life(tmp_path):
    machine = Machine(tmp_path)
    hypervisor = machine.hypervisor
    assert hypervisor.power("i-1") is Power.NONE
    machine.launch()
    assert hypervisor.power("i-1") is Power.RUNNING
    assert list(hypervisor.domains()) == ["i-1"]
    hypervisor.reboot("i-1")
    assert not hypervisor.reboot_seen("i-1")
    machine.after(20)
    assert hypervisor.reboot_seen("i-1")
    hypervisor.shut_down("i-1")
    machine.after(20)
    assert hypervisor.power("i-1") is Power.EXITED
    hypervisor.remove("i-1")
    hypervisor.remove("i-1")
    assert hypervisor.power("i-1") is Power.NONE
    assert machine.events.count("i-1") >= 4


def test_what_does_not_run_cannot_be_asked(tmp_path):
    hypervisor = Machine(tmp_path).hypervisor
    for ask in (hypervisor.shut_down, hypervisor.reboot, hypervisor.reset, hypervisor.resume):
        with pytest.raises(DriverError, match="not running"):
            ask("i-1")
    hypervisor.power_off("i-1")


def test_a_domain_is_made_once(tmp_path):
    machine = Machine(tmp_path)
    machine.launch()
    with pytest.raises(DriverError, match="exists already"):
        machine.launch()


def test_guests_outlive_the_process_but_not_the_boot(tmp_path):
    file = tmp_path / "guests.json"
    machine = Machine(tmp_path, FakeState(file, "boot-1"))
    machine.launch()
    again = Machine(tmp_path, FakeState(file, "boot-1"))
    assert again.hypervisor.power("i-1") is Power.RUNNING
    rebooted = Machine(tmp_path, FakeState(file, "boot-2"))
    assert rebooted.hypervisor.power("i-1") is Power.OFF


@pytest.mark.parametrize(
    "faults, power",
    [({"crash": 1.0}, Power.CRASHED), ({"powers_off": 1.0}, Power.EXITED)],
)
def test_guests_end_by_themselves(tmp_path, faults, power):
    machine = Machine(tmp_path, **faults)
    machine.launch()
    assert machine.hypervisor.next_due() is not None
    machine.after(60_000)
    assert machine.hypervisor.power("i-1") is power


def test_a_curse_lasts_and_a_failure_passes(tmp_path):
    cursed = Machine(tmp_path, never_works=1.0)
    for _ in range(2):
        with pytest.raises(DriverError) as failure:
            cursed.launch()
        assert not failure.value.transient
        cursed.hypervisor.faults = Faults()
    with pytest.raises(DriverError) as failure:
        Machine(tmp_path, create_fails=1.0).launch("i-2")
    assert failure.value.transient


def test_lost_events_and_silence(tmp_path):
    machine = Machine(tmp_path, lost_event=1.0)
    machine.launch()
    assert machine.events == []
    machine.hypervisor.faults = Faults(call_fails=1.0)
    with pytest.raises(DriverError, match="failed"):
        machine.hypervisor.power("i-1")


def test_what_another_host_serves_grows_there_first(tmp_path):
    """As QEMU has it: tests/real/test_agent_served.py."""
    machine = Machine(tmp_path)
    hypervisor, served = machine.hypervisor, machine.served
    machine.launch()
    served["vol-1"] = 8
    remote = fleet_pb2.RemoteDisk(host_id="h-2")
    disk = Disk("vol-1", "/dev/sdf", Path(), "raw", size_bytes=16, remote=remote)
    hypervisor.attach_disk("i-1", disk)
    with pytest.raises(DriverError, match="8 bytes"):
        hypervisor.resize_disk("i-1", "vol-1", 16)
    assert [disk.size_bytes for disk in hypervisor.disks("i-1")] == [8]
    served["vol-1"] = 16
    hypervisor.resize_disk("i-1", "vol-1", 16)
    assert [disk.size_bytes for disk in hypervisor.disks("i-1")] == [16]
