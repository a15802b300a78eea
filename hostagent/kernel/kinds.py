"""What the kernel needs to know of a kind of resource. Each kind declares itself once, in a file
beside its worker; nothing in here, in the ledger, in sync or in the agent names any.

    TOY = Kind("toy", "source", spec_type=ToySpec, progress_type=ToyProgress, ...)

A kind's progress is kept as JSON: a later field needs a default.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from google.protobuf.message import Message

from protos.cloud.v1 import fleet_pb2


@dataclass(frozen=True)
class Progress:
    """How far this host got with one assignment, and what it saw of it: what every kind has.

    ``revision`` is the spec's, when this was seen. The ledger alone sets ``epoch`` and
    ``sequence``: when it was noted.
    """

    revision: int = 0
    epoch: int = 0
    sequence: int = 0


S = TypeVar("S", bound=Message)
P = TypeVar("P", bound=Progress)


class Key(NamedTuple):
    """Names an assignment of this host."""

    kind: str
    id: str
    role: str


@dataclass(frozen=True)
class Record(Generic[S, P]):
    """An assignment in the ledger. Revision 0: nobody has specified it by itself yet, so that
    nothing is said of it."""

    spec: S
    revision: int
    progress: P


AnyRecord = Record[Any, Any]  # which kind's, its key says


class Worker(Protocol):
    """Makes one assignment true."""

    def step(self, now: int) -> int | None:
        """Does one thing and answers when to look again, in the milliseconds of ``now``; None: when
        something happens. Called for what was forgotten as well; it then has nothing to do."""


class Kept(Protocol[S, P]):
    """All of a kind that is in the ledger."""

    def get(self, name: str) -> Record[S, P] | None: ...

    def all(self) -> dict[str, Record[S, P]]: ...


class Ledger(Protocol):
    """What a kind may ask of the ledger."""

    def of(self, kind: "Kind[S, P]") -> Kept[S, P]: ...

    def was_here(self, name: str) -> bool:
        """Something of this name was torn down and forgotten."""


@dataclass
class Change:
    """What a message, or the forgetting of something, makes of the ledger: one transaction.

    ``is_newer``: the message's position is behind the ledger's. ``again``: what is to be said
    again, whether or not it changes. ``due``: keys whose workers should look, beside those that are
    put or dropped. ``buried``: names that are known to have been here.
    """

    ledger: Ledger
    is_newer: bool = False
    now_ms: int = 0
    put: dict[Key, AnyRecord] = field(default_factory=dict)
    dropped: dict[Key, None] = field(default_factory=dict)
    again: set[Key] = field(default_factory=set)
    due: set[Key] = field(default_factory=set)
    buried: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.put or self.dropped or self.again or self.buried)

    def before(self, kind: "Kind[S, P]") -> dict[str, Record[S, P]]:
        """All of a kind, by id, as the ledger has them."""
        return self.ledger.of(kind).all()

    def after(self, kind: "Kind[S, P]") -> dict[str, Record[S, P]]:
        """All of a kind, by id, as they will be."""
        changed = {key.id: record for key, record in self.put.items() if kind.owns(key)}
        gone = {key.id for key in self.dropped if kind.owns(key)}
        known = {**self.before(kind), **changed}
        return {name: one for name, one in known.items() if name not in gone}

    def keep(self, kind: "Kind[S, P]", records: Mapping[str, Record[S, P]]) -> None:
        """These are to be in the ledger, by id."""
        for name, record in records.items():
            self.put[kind.key(name)] = record
            self.dropped.pop(kind.key(name), None)

    def drop(self, kind: "Kind[S, P]", name: str) -> None:
        """This is to be in the ledger no more."""
        self.put.pop(kind.key(name), None)
        self.dropped[kind.key(name)] = None

    def touched(self) -> set[Key]:
        return {*self.put, *self.dropped, *self.due}


def _merge(kind: "Kind[S, P]", change: Change, told: Mapping[str, Record[S, P]]) -> None:
    change.keep(kind, told)


def _forgotten(kind: "Kind[S, P]", change: Change, key: Key, record: AnyRecord) -> None:
    """Nothing else goes with it."""


@dataclass(frozen=True, eq=False)
class Kind(Generic[S, P]):
    """A kind of resource, in one role. Two roles of a kind are two of these.

    observed      names of the progress' fields that the controller hears of
    observe       (record, message) fills in what was seen, and why; the rest of the message is done
    is_settled    (record) whether what was seen last is worth a report at once
    is_over       (record, ledger) whether it may be forgotten, once that has been acknowledged
    vital         names of the progress' fields whose changes must survive a power failure; all else
                  can be seen anew (docs/decisions/0200)
    is_sound      (spec) False: it says nothing that can be made true, and is not taken in
    returns       (spec) whether a message that is not newer may bring it back where it was
                  forgotten: it is to be gone, and its end is answered again. All else is taken in
                  by a newer message only
    merge         (kind, change, told) takes in what is news; ``told`` is by id, each with the
                  progress that it has. Called for every message, after the kinds before it
    forgotten     (kind, change, key, record) what goes with a record, of whatever kind, that is
                  forgotten
    lacks         (kind, ledger) whether something is needed that nobody has told this host
    """

    name: str
    role: str
    spec_type: type[S]
    progress_type: type[P]
    observed: tuple[str, ...]
    observe: Callable[[Record[S, P], fleet_pb2.Observation], None]
    is_settled: Callable[[Record[S, P]], bool]
    is_over: Callable[[Record[S, P], Ledger], bool]
    field: str = ""  # of the messages' oneofs; "": as the kind is named
    vital: tuple[str, ...] = ()
    is_sound: Callable[[S], bool] = lambda spec: True
    returns: Callable[[S], bool] = lambda spec: False
    merge: Callable[["Kind[S, P]", Change, Mapping[str, Record[S, P]]], None] = _merge
    forgotten: Callable[["Kind[S, P]", Change, Key, AnyRecord], None] = _forgotten
    lacks: Callable[["Kind[S, P]", Ledger], bool] = lambda kind, ledger: False

    def key(self, name: str) -> Key:
        return Key(self.name, name, self.role)

    def owns(self, key: Key) -> bool:
        return (key.kind, key.role) == (self.name, self.role)

    def spec_of(self, told: fleet_pb2.Assignment) -> S | None:
        """None where it has none of this kind."""
        name = self.field or self.name
        return getattr(told, name) if told.HasField(name) else None

    def seen(self, progress: P) -> tuple[object, ...]:
        """What of the progress the controller hears of."""
        return tuple(getattr(progress, name) for name in self.observed)


AnyKind = Kind[Any, Any]  # one of several
