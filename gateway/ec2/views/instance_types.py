"""An instance type, in all of the structures that EC2 shows.

Terraform panics where one is missing.
"""

from collections.abc import Sequence

from gateway.aws.renderers import View
from protos.cloud.v1 import hosts_pb2, instances_pb2


def instance_type(given: instances_pb2.InstanceType) -> View:
    return {
        "InstanceType": given.name,
        "CurrentGeneration": given.current_generation,
        "FreeTierEligible": given.free_tier_eligible,
        "SupportedUsageClasses": ["on-demand"],
        "SupportedRootDeviceTypes": ["ebs"],
        "SupportedVirtualizationTypes": ["hvm"],
        "BareMetal": False,
        "Hypervisor": "nitro",  # KVM by AWS's name
        "ProcessorInfo": {"SupportedArchitectures": [given.architecture]},
        "VCpuInfo": {
            "DefaultVCpus": given.vcpus,
            "DefaultCores": given.vcpus,
            "DefaultThreadsPerCore": 1,
            "ValidCores": [given.vcpus],
            "ValidThreadsPerCore": [1],
        },
        "MemoryInfo": {"SizeInMiB": given.memory_mib},
        "InstanceStorageSupported": False,
        "EbsInfo": {
            "EbsOptimizedSupport": "unsupported",
            "EncryptionSupport": "unsupported",
            "NvmeSupport": "unsupported",
        },
        "NetworkInfo": _network(given),
        "PlacementGroupInfo": {"SupportedStrategies": []},
        "HibernationSupported": False,
        "BurstablePerformanceSupported": given.burstable,
        "DedicatedHostsSupported": False,
        "AutoRecoverySupported": False,
        "SupportedBootModes": ["legacy-bios"],
        "NitroEnclavesSupport": "unsupported",
        "NitroTpmSupport": "unsupported",
    }


def eucalyptus_type(
    given: instances_pb2.InstanceType, rooms: Sequence[hosts_pb2.Room] = ()
) -> View:
    """As euca-describe-instance-types and boto 2 read it."""
    return {
        "Name": given.name,
        "Cpu": given.vcpus,
        "Disk": given.default_disk_gib,
        "Memory": given.memory_mib,
        "Availability": [
            {"ZoneName": room.availability_zone, "Max": room.most, "Available": room.free}
            for room in rooms
            if room.instance_type == given.name
        ],
    }


def _network(given: instances_pb2.InstanceType) -> View:
    return {
        "NetworkPerformance": given.network_performance,
        "MaximumNetworkInterfaces": given.maximum_network_interfaces,
        "MaximumNetworkCards": 1,
        "DefaultNetworkCardIndex": 0,
        "NetworkCards": [
            {
                "NetworkCardIndex": 0,
                "NetworkPerformance": given.network_performance,
                "MaximumNetworkInterfaces": given.maximum_network_interfaces,
            }
        ],
        "Ipv4AddressesPerInterface": given.ipv4_addresses_per_interface,
        "Ipv6AddressesPerInterface": 0,
        "Ipv6Supported": False,
        "EnaSupport": "unsupported",
        "EfaSupported": False,
        "EncryptionInTransitSupported": False,
    }
