"""What must hold: always, or once the cloud is quiesced. Each invariant is a function of the world.

    Watch(world).check()      after each event of a simulation: what the event may have broken
    check(world, QUIESCED)    when faults have stopped and all had time to converge: everything

An invariant yields a sentence for each breach, and nothing where it holds. It recomputes from
scratch: from rows (``world.records``), from what hosts really have (``world.hosts``) and from what
customers were answered (``world.answers``). ``tests/simulation/test_invariants.py`` sees to it that
each of them bites.
"""

from collections.abc import Callable, Iterable, Iterator

Invariant = Callable[[object], Iterator[str]]


class Broken(AssertionError):
    """An invariant does not hold."""


def check(world, invariants: Iterable[Invariant]) -> None:
    """Raises Broken naming each invariant that does not hold, with its breaches."""
    with world.records.still():
        found = [
            f"{invariant.__name__}: {breach}"
            for invariant in invariants
            for breach in invariant(world)
        ]
    if found:
        raise broken(found)


def broken(found: list[str]) -> Broken:
    return Broken("\n  ".join(["invariants are broken:", *found[:20]]))
