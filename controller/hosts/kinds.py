"""What hosts/ needs to know of a kind of resource: how it is rendered, and who takes in what was
seen of it. app registers one for each kind; nothing in hosts/ names any.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar, cast

from controller.kernel.database import Session, Transaction
from controller.tables.nouns import Hosted
from protos.cloud.v1 import fleet_pb2

T = TypeVar("T")


class Assigned(NamedTuple):
    """An assignment that a host is to be told of."""

    kind: str
    resource_id: str
    role: str

    def message(self, revision: int, spec: fleet_pb2.Assignment) -> fleet_pb2.Assignment:
        """With the resource's revision as it was read. ``spec``: one with the kind's spec alone."""
        spec.kind, spec.id, spec.role = self.kind, self.resource_id, self.role
        spec.revision = revision
        return spec


class Stale(NamedTuple):
    """An observation under a revision that never was here: this database is an older copy."""

    resource_id: str
    observation: fleet_pb2.Observation


@dataclass(frozen=True)
class Reading:
    """What a host is about to be told of, by kind, and the snapshot to read it in."""

    session: Session
    host_id: str
    assigned: Mapping[str, Sequence[Assigned]]
    _read: dict[str, object] = field(default_factory=dict)

    def ids(self, noun: Hosted) -> list[str]:
        return [one.resource_id for one in self.assigned.get(noun.kind, ())]

    def once(self, name: str, read: Callable[[], T]) -> T:
        """What ``read`` answers, read once however many kinds need it."""
        if name not in self._read:
            self._read[name] = read()
        return cast(T, self._read[name])


@dataclass(frozen=True)
class Kind:
    """A kind of resource.

    render(reading) -> the specs of all of this kind that are assigned there;
    word(observation) -> what assignment.observed becomes; ``passing`` are the words of what is on
    its way somewhere and needs no report of its own, ``over`` those of what takes up nothing on
    the host by itself.
    observe(tx, host_id, observations) writes what else the observations say, which are all newer
    than what was known; answers whether something follows from them (then the reconcile tasks run).
    catch_up(tx, stale) moves the resources' revisions, and whatever else the host counts, past
    what the host knows.
    """

    noun: Hosted
    render: Callable[[Reading], Iterable[fleet_pb2.Assignment]]
    word: Callable[[fleet_pb2.Observation], str]
    observe: Callable[[Transaction, str, Sequence[fleet_pb2.Observation]], bool]
    catch_up: Callable[[Transaction, Sequence[Stale]], None]
    passing: frozenset[str]
    over: frozenset[str] = frozenset()
