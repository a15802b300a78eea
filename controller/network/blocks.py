"""CIDR blocks that callers ask for, checked and in canonical form. Pure.

Called by vpcs, subnets and routes. EC2 keeps a block as its network address: "if you specify
100.68.0.18/18, we modify it to 100.68.0.0/18" (API Reference, CreateVpc, CreateSubnet,
CreateRoute). A VPC and a subnet are /16 to /28.
"""

import re
from ipaddress import AddressValueError, IPv4Network, NetmaskValueError

from protos.errors import CloudError, Kind

LARGEST_PREFIX, SMALLEST_PREFIX = 16, 28
ANYWHERE = "0.0.0.0/0"
_SHAPE = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}/[0-9]{1,2}", re.ASCII)
# What no host could route: "this network", loopback, link-local (where the metadata service is),
# multicast and all above it.
_NEVER = [
    IPv4Network(block) for block in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")
]


def vpc_block(text: str) -> str:
    """Raises INVALID (no block; reason "vpc-range")."""
    block = parse(text, "cidrBlock")
    fits = LARGEST_PREFIX <= block.prefixlen <= SMALLEST_PREFIX
    if not fits or any(block.overlaps(never) for never in _NEVER):
        raise CloudError(
            Kind.INVALID, f"The CIDR '{text}' is invalid.", reason="vpc-range", id=text
        )
    return str(block)


def subnet_block(text: str, vpc_cidr_block: str) -> str:
    """Raises INVALID (no block; reason "subnet-range": too large, too small, not of the VPC's)."""
    block = parse(text, "cidrBlock")
    fits = LARGEST_PREFIX <= block.prefixlen <= SMALLEST_PREFIX
    if not fits or not block.subnet_of(IPv4Network(vpc_cidr_block)):
        raise CloudError(
            Kind.INVALID, f"The CIDR '{text}' is invalid.", reason="subnet-range", id=text
        )
    return str(block)


def overlap(one: str, other: str) -> bool:
    return IPv4Network(one).overlaps(IPv4Network(other))


def parse(text: str, parameter: str) -> IPv4Network:
    """Any block. Raises INVALID."""
    try:
        if not _SHAPE.fullmatch(text):
            raise AddressValueError(text)
        return IPv4Network(text, strict=False)
    except (AddressValueError, NetmaskValueError) as unreadable:
        raise CloudError(
            Kind.INVALID,
            f"Value ({text}) for parameter {parameter} is invalid. This is not a valid CIDR block.",
            noun="parameter",
            id=text,
        ) from unreadable
