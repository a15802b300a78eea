"""Ids as EC2 writes them: a prefix that says the noun, a dash, seventeen hexadecimal digits.

Randomness is passed in (``random.Random`` or ``random.SystemRandom``), so that a simulation can
repeat itself.
"""

import random
import re

# noun -> prefix. The noun is EC2's resource type where EC2 has one.
PREFIXES = {
    "instance": "i",
    "reservation": "r",
    "image": "ami",
    "volume": "vol",
    "snapshot": "snap",
    "vpc": "vpc",
    "subnet": "subnet",
    "network-interface": "eni",
    "network-interface-attachment": "eni-attach",
    "security-group": "sg",
    "security-group-rule": "sgr",
    "key-pair": "key",
    "elastic-ip": "eipalloc",
    "elastic-ip-association": "eipassoc",
    "route-table": "rtb",
    "route-table-association": "rtbassoc",
    "internet-gateway": "igw",
    "network-acl": "acl",
    "network-acl-association": "aclassoc",
    "dhcp-options": "dopt",
    "vpc-cidr-association": "vpc-cidr-assoc",
    "host": "h",
    "placement": "pl",
}
NOUNS = {prefix: noun for noun, prefix in PREFIXES.items()}

_SHAPE = re.compile(r"([a-z]+(?:-[a-z]+)*)-([0-9a-f]{17}|[0-9a-f]{8})")


def new_id(noun: str, rng: random.Random) -> str:
    """A fresh id for a noun of PREFIXES: ``new_id("instance", rng) -> "i-0f3a...(17 digits)"``."""
    return f"{PREFIXES[noun]}-{rng.getrandbits(68):017x}"


def noun_of(identifier: str) -> str | None:
    """The noun whose id this could be, or None where it has no id's shape."""
    match = _SHAPE.fullmatch(identifier)
    return NOUNS.get(match[1]) if match else None


def is_well_formed(identifier: str, noun: str) -> bool:
    return noun_of(identifier) == noun
