"""What this machine is told to have, and whether KVM may be trusted on it."""

import pytest

from hostagent.facts import boot_id, choose_hypervisor, has_virtualisation, host_facts, memory_mib
from protos.cloud.v1 import fleet_pb2

INTEL = """processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) Gold 6130
flags\t\t: fpu vme de pse tsc msr pae vmx smx est tm2
vmx flags\t: vnmi preemption_timer
bugs\t\t: spectre_v1
"""
AMD = "processor : 0\nflags : fpu vme svm extapic\n"
GUEST = """processor\t: 0
model name\t: Virtual CPU vmx svm edition
flags\t\t: fpu vme de pse hypervisor lahf_lm svm_lock vmx_like
bugs\t\t: vmscape
"""
ARM = "processor : 0\nFeatures : fp asimd evtstrm aes\n"


@pytest.mark.parametrize("cpuinfo, has", [(INTEL, True), (AMD, True), (GUEST, False), (ARM, False)])
def test_the_cpus_flag_decides(cpuinfo, has):
    assert has_virtualisation(cpuinfo) is has


def test_auto_needs_flag_and_device(tmp_path):
    device = tmp_path / "kvm"
    assert choose_hypervisor("auto", INTEL, device) == "qemu"
    device.touch()
    assert choose_hypervisor("auto", INTEL, device) == "kvm"
    assert choose_hypervisor("auto", GUEST, device) == "qemu"


@pytest.mark.parametrize("asked", ["kvm", "qemu", "fake"])
def test_what_is_asked_for_is_taken(asked, tmp_path):
    assert choose_hypervisor(asked, GUEST, tmp_path / "none") == asked


def test_memory_and_boot_are_read_from_proc(tmp_path):
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("b-1\n")
    (tmp_path / "meminfo").write_text("MemTotal:  2048 kB\nMemAvailable:  1024 kB\n")
    assert boot_id(tmp_path) == "b-1"
    assert memory_mib("MemTotal", tmp_path) == 2
    with pytest.raises(KeyError):
        memory_mib("MemNothing", tmp_path)


def test_the_hypervisors_facts_come_first(tmp_path):
    known = fleet_pb2.HostFacts(hypervisor="fake", vcpus=64, memory_mib=1, disk_gib=2)
    facts = host_facts(known, "host-1", "a:1", "us-east-1a", tmp_path)
    assert (facts.memory_mib, facts.disk_gib, facts.name) == (1, 2, "host-1")
    plain = host_facts(fleet_pb2.HostFacts(hypervisor="qemu"), "host-1", "a:1", "z", tmp_path)
    assert plain.memory_mib > 0
