"""The instance types that a new database starts with: EC2's names and sizes, so that scripts find
what they name.

Called at start-up. Rows that are there already are left as the operator made them. Sources: the EC2
User Guide's tables of t2, t3, m5, c5 and r5, and of t1 and m1 of the previous generation (vCPUs,
memory, network performance, interfaces and addresses per interface). The last two are what old
clients launch unless told otherwise: m1.small (boto 2), t1.micro (fog).
"""

from controller.kernel.database import Transaction
from controller.tables.compute import InstanceType

# family, burstable, then (size, vCPUs, MiB, network, interfaces, addresses each)
_LARGE = "Up to 10 Gigabit"
_FAMILIES = (
    ("t1", False, (("micro", 1, 627, "Very Low", 2, 2),)),
    (
        "m1",
        False,
        (
            ("small", 1, 1740, "Low", 2, 4),
            ("medium", 1, 3788, "Moderate", 2, 6),
            ("large", 2, 7680, "Moderate", 3, 10),
            ("xlarge", 4, 15360, "High", 4, 15),
        ),
    ),
    (
        "t2",
        True,
        (
            ("nano", 1, 512, "Low to Moderate", 2, 2),
            ("micro", 1, 1024, "Low to Moderate", 2, 2),
            ("small", 1, 2048, "Low to Moderate", 3, 4),
            ("medium", 2, 4096, "Low to Moderate", 3, 6),
            ("large", 2, 8192, "Low to Moderate", 3, 12),
            ("xlarge", 4, 16384, "Moderate", 3, 15),
            ("2xlarge", 8, 32768, "Moderate", 3, 15),
        ),
    ),
    (
        "t3",
        True,
        (
            ("nano", 2, 512, "Up to 5 Gigabit", 2, 2),
            ("micro", 2, 1024, "Up to 5 Gigabit", 2, 2),
            ("small", 2, 2048, "Up to 5 Gigabit", 3, 4),
            ("medium", 2, 4096, "Up to 5 Gigabit", 3, 6),
            ("large", 2, 8192, "Up to 5 Gigabit", 3, 12),
            ("xlarge", 4, 16384, "Up to 5 Gigabit", 4, 15),
            ("2xlarge", 8, 32768, "Up to 5 Gigabit", 4, 15),
        ),
    ),
    (
        "m5",
        False,
        (
            ("large", 2, 8192, _LARGE, 3, 10),
            ("xlarge", 4, 16384, _LARGE, 4, 15),
            ("2xlarge", 8, 32768, _LARGE, 4, 15),
            ("4xlarge", 16, 65536, _LARGE, 8, 30),
            ("8xlarge", 32, 131072, "10 Gigabit", 8, 30),
            ("12xlarge", 48, 196608, "12 Gigabit", 8, 30),
            ("16xlarge", 64, 262144, "20 Gigabit", 15, 50),
            ("24xlarge", 96, 393216, "25 Gigabit", 15, 50),
        ),
    ),
    (
        "c5",
        False,
        (
            ("large", 2, 4096, _LARGE, 3, 10),
            ("xlarge", 4, 8192, _LARGE, 4, 15),
            ("2xlarge", 8, 16384, _LARGE, 4, 15),
            ("4xlarge", 16, 32768, _LARGE, 8, 30),
            ("9xlarge", 36, 73728, "12 Gigabit", 8, 30),
            ("12xlarge", 48, 98304, "12 Gigabit", 8, 30),
            ("18xlarge", 72, 147456, "25 Gigabit", 15, 50),
            ("24xlarge", 96, 196608, "25 Gigabit", 15, 50),
        ),
    ),
    (
        "r5",
        False,
        (
            ("large", 2, 16384, _LARGE, 3, 10),
            ("xlarge", 4, 32768, _LARGE, 4, 15),
            ("2xlarge", 8, 65536, _LARGE, 4, 15),
            ("4xlarge", 16, 131072, _LARGE, 8, 30),
            ("8xlarge", 32, 262144, "10 Gigabit", 8, 30),
            ("12xlarge", 48, 393216, "12 Gigabit", 8, 30),
            ("16xlarge", 64, 524288, "20 Gigabit", 15, 50),
            ("24xlarge", 96, 786432, "25 Gigabit", 15, 50),
        ),
    ),
)
PREVIOUS_GENERATION = {"t1", "m1"}
FREE_TIER = {"t2.micro", "t3.micro"}
DEFAULT_DISK_GIB = 8

DEFAULT_TYPES = tuple(
    {
        "name": f"{family}.{size}",
        "vcpus": vcpus,
        "memory_mib": memory_mib,
        "burstable": burstable,
        "current_generation": family not in PREVIOUS_GENERATION,
        "architecture": "x86_64",
        "default_disk_gib": DEFAULT_DISK_GIB,
        "network_performance": network,
        "maximum_network_interfaces": interfaces,
        "ipv4_addresses_per_interface": addresses,
        "free_tier_eligible": f"{family}.{size}" in FREE_TIER,
    }
    for family, burstable, sizes in _FAMILIES
    for size, vcpus, memory_mib, network, interfaces, addresses in sizes
)


def ensure_catalogue(tx: Transaction) -> int:
    """Adds the types that are missing; answers how many."""
    return tx.insert(InstanceType, DEFAULT_TYPES, on_conflict=("name",))
