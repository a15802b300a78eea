"""What this machine has and uses: read from /proc and the file system, never from a command.

Called at the agent's start (facts) and for each report (usage).
"""

import os
import shutil
from pathlib import Path

from protos.cloud.v1 import fleet_pb2
from protos.version import VERSION

GIB = 1024**3


def boot_id(proc: Path = Path("/proc")) -> str:
    """Differs after each boot of the machine."""
    return (proc / "sys/kernel/random/boot_id").read_text().strip()


def memory_mib(field: str, proc: Path = Path("/proc")) -> int:
    """A field of /proc/meminfo ("MemTotal", "MemAvailable"). KeyError where it is missing."""
    for line in (proc / "meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == field:
            return int(rest.split()[0]) // 1024
    raise KeyError(field)


def has_virtualisation(cpuinfo: str) -> bool:
    """Whether the CPU that /proc/cpuinfo describes can run guests by itself (Intel VT-x, AMD-V).

    A device file /dev/kvm proves nothing: on a machine whose CPU lacks the flag, a guest started
    with KVM hangs.
    """
    for line in cpuinfo.splitlines():
        name, _, rest = line.partition(":")
        if name.strip() == "flags":
            return not {"vmx", "svm"}.isdisjoint(rest.split())
    return False


def choose_hypervisor(configured: str, cpuinfo: str, kvm: Path = Path("/dev/kvm")) -> str:
    """What ``auto`` means here: kvm only where it truly works. Anything else asked for is taken."""
    if configured != "auto":
        return configured
    return "kvm" if has_virtualisation(cpuinfo) and _opens(kvm) else "qemu"


def host_facts(
    hypervisor: fleet_pb2.HostFacts, name: str, endpoint: str, zone: str, disk: Path
) -> fleet_pb2.HostFacts:
    """The hypervisor's facts, completed with the host's."""
    facts = fleet_pb2.HostFacts()
    facts.CopyFrom(hypervisor)
    facts.name, facts.endpoint, facts.availability_zone = name, endpoint, zone
    facts.memory_mib = facts.memory_mib or memory_mib("MemTotal")
    facts.disk_gib = facts.disk_gib or shutil.disk_usage(disk).total // GIB
    facts.version = VERSION
    return facts


def host_usage(disk: Path) -> fleet_pb2.HostUsage:
    return fleet_pb2.HostUsage(
        load_1m=os.getloadavg()[0],
        memory_available_mib=memory_mib("MemAvailable"),
        disk_free_gib=shutil.disk_usage(disk).free // GIB,
    )


def _opens(device: Path) -> bool:
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True
