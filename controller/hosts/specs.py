"""What a host should know, read from the database: its assignments that changed since a position,
rendered by their kinds.

Called by hosts/rpc (the answer to a report) and hosts/delivery, inside one snapshot.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from peewee import JOIN

from controller.hosts.kinds import Assigned, Kind, Reading
from controller.kernel.database import Session
from controller.kernel.prepared import prepared
from controller.kernel.rows import columns
from controller.kernel.table import Select
from controller.tables.hosts import Assignment, Host
from protos.cloud.v1 import fleet_pb2


@dataclass(frozen=True)
class Outgoing:
    """What a host is to be told, and where its agent listens ("" if it never said)."""

    spec: fleet_pb2.HostSpec
    endpoint: str = ""

    @property
    def has_news(self) -> bool:
        return self.spec.base != self.spec.position


class KnownHost(Protocol):
    """A host, the newest report that was taken in of it, and its position in its feed."""

    @property
    def host_id(self) -> str: ...
    @property
    def position(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def sequence(self) -> int: ...


class ToTell(NamedTuple):
    """A host, with one of its assignments or none."""

    host_id: str
    endpoint: str
    position: int
    known_position: int
    epoch: int
    sequence: int
    kind: str | None
    resource_id: str | None
    role: str | None


class Specs:
    """settings: what is said to every host alike."""

    def __init__(self, kinds: Sequence[Kind], settings: fleet_pb2.HostSettings):
        self._kinds, self._settings = kinds, settings

    def read(self, session: Session, host_id: str, base: int | None) -> Outgoing | None:
        """All that changed for the host behind the position ``base`` (0: everything there is;
        None: behind the one that its row says it knows).

        None where there is no such host. Assignments are sorted by kind and id: specs of one state
        compare equal.
        """
        rows = session.rows(
            _from_known(host_id=host_id) if base is None else _from(host_id=host_id, base=base),
            ToTell,
        )
        if not rows:
            return None
        host = rows[0]
        base = host.known_position if base is None else base
        if base > host.position:  # it knows more than we do: hosts/reports makes that right
            return self.read(session, host_id, 0)
        spec = self.nothing_new(host)
        spec.base = base
        assigned: dict[str, list[Assigned]] = {}
        for row in rows:
            if row.kind is not None:  # it has an assignment
                one = Assigned(row.kind, row.resource_id or "", row.role or "")
                assigned.setdefault(row.kind, []).append(one)
        reading = Reading(session, host_id, {name: sorted(own) for name, own in assigned.items()})
        for kind in self._kinds:
            if kind.noun.kind in assigned:
                spec.assignments.extend(kind.render(reading))
        return Outgoing(spec, host.endpoint)

    def nothing_new(self, host: KnownHost) -> fleet_pb2.HostSpec:
        """Makes the answer to a host that knows everything already."""
        return fleet_pb2.HostSpec(
            host_id=host.host_id,
            position=host.position,
            base=host.position,
            acknowledged_epoch=host.epoch,
            acknowledged_sequence=host.sequence,
            settings=self._settings,
        )

    def say_everything(self, host: KnownHost) -> fleet_pb2.HostSpec:
        """Makes the answer to a report that was not taken in."""
        return fleet_pb2.HostSpec(
            host_id=host.host_id, say_everything=True, settings=self._settings
        )


def _host_and_assignments(host_id: object, base: object) -> Select:
    changed = (Assignment.host_id == Host.host_id) & (Assignment.position > base)
    return (
        Host.select(
            *columns(ToTell, Host), Assignment.kind, Assignment.resource_id, Assignment.role
        )
        .join(Assignment, JOIN.LEFT_OUTER, on=changed)
        .where(Host.host_id == host_id)
    )


_from = prepared(_host_and_assignments, names=("host_id", "base"))
_from_known = prepared(lambda host_id: _host_and_assignments(host_id, Host.known_position))
