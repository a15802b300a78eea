"""Ids as EC2 writes them: a prefix that says the noun, a dash, seventeen hexadecimal digits.

Randomness is passed in (``random.Random`` or ``random.SystemRandom``), so that a simulation can
repeat itself.
"""

import random
import re

from protos import nouns

PREFIXES = {noun.name: noun.prefix for noun in nouns.NOUNS.values() if noun.prefix}
_NOUNS = {prefix: noun for noun, prefix in PREFIXES.items()}

_SHAPE = re.compile(r"([a-z]+(?:-[a-z]+)*)-([0-9a-f]{17}|[0-9a-f]{8})")


def new_id(noun: str, rng: random.Random) -> str:
    """A fresh id: ``new_id("instance", rng) -> "i-0f3a...(17 digits)"``. KeyError where the noun
    (protos/nouns) has no prefix."""
    return f"{PREFIXES[noun]}-{rng.getrandbits(68):017x}"


def noun_of(identifier: str) -> str | None:
    """The noun whose id this could be, or None where it has no id's shape."""
    match = _SHAPE.fullmatch(identifier)
    return _NOUNS.get(match[1]) if match else None


def is_well_formed(identifier: str, noun: str) -> bool:
    return noun_of(identifier) == noun
