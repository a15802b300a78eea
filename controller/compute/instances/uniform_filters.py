"""Filters of DescribeInstances and DescribeInstanceStatus that all instances here answer alike, as
the gateway's views show them, and those that none answers: a tool that asks for what EC2 has may
find nothing, and is not told that there is no such filter. Called by compute/instances/filters."""

from collections.abc import Iterable, Mapping

from controller.kernel.filters import NOTHING, Condition, constant

_ALIKE = {
    "capacity-reservation-specification.capacity-reservation-preference": "open",
    "current-instance-boot-mode": "legacy-bios",
    "ena-support": "true",
    "enclave-options.enabled": "false",
    "hibernation-options.configured": "false",
    "hypervisor": "xen",  # what EC2 answers for every instance
    "maintenance-options.auto-recovery": "default",
    "operator.managed": "false",
    "platform-details": "Linux/UNIX",
    "private-dns-name-options.enable-resource-name-dns-a-record": "false",
    "private-dns-name-options.enable-resource-name-dns-aaaa-record": "false",
    "private-dns-name-options.hostname-type": "ip-name",
    "root-device-type": "ebs",
    "usage-operation": "RunInstances",
    "virtualization-type": "hvm",
}
_TARGET = "capacity-reservation-specification.capacity-reservation-target"
_NOBODYS = (
    "affinity",
    "boot-mode",
    "capacity-reservation-id",
    f"{_TARGET}.capacity-reservation-id",
    f"{_TARGET}.capacity-reservation-resource-group-arn",
    "host-id",  # a dedicated one
    "iam-instance-profile.arn",
    "iam-instance-profile.id",
    "instance-lifecycle",  # spot and scheduled ones only: none here
    "ipv6-address",
    "kernel-id",
    "network-interface.addresses.association.carrier-ip",
    "network-interface.addresses.association.customer-owned-ip",
    "network-interface.association.carrier-ip",
    "network-interface.association.customer-owned-ip",
    "network-interface.ipv4-prefixes.ipv4-prefix",
    "network-interface.ipv6-address",
    "network-interface.ipv6-addresses.ipv6-address",
    "network-interface.ipv6-addresses.is-primary-ipv6",
    "network-interface.ipv6-prefixes.ipv6-prefix",
    "network-interface.operator.principal",
    "network-interface.outpost-arn",
    "network-interface.requester-id",
    "network-performance-options.bandwidth-weighting",
    "operator.principal",
    "outpost-arn",
    "placement-group-name",
    "placement-partition-number",
    "platform",  # "windows" only
    "product-code",
    "product-code.type",
    "ramdisk-id",
    "requester-id",
    "spot-instance-request-id",
    "tpm-support",
)
_EVENTS = (
    "event.code",
    "event.description",
    "event.instance-event-id",
    "event.not-after",
    "event.not-before",
    "event.not-before-deadline",
    "operator.principal",
)


def uniform_filters() -> Mapping[str, Condition]:
    """Of DescribeInstances."""
    return {name: constant(shown) for name, shown in _ALIKE.items()} | _nobodys(_NOBODYS)


def uniform_status_filters() -> Mapping[str, Condition]:
    """Of DescribeInstanceStatus: nothing is scheduled for any instance."""
    return {"operator.managed": constant("false")} | _nobodys(_EVENTS)


def _nobodys(names: Iterable[str]) -> dict[str, Condition]:
    return dict.fromkeys(names, lambda values: NOTHING)
