"""The Hosts service: what the operator sees of the servers, join tokens, and whether a launch would
succeed now."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from peewee import Case, fn

from controller.config import Zone
from controller.hosts import strangers
from controller.hosts.enrolment import Enrolment
from controller.hosts.overcommit import HostUse, Settings, Size, room
from controller.kernel.call import Call
from controller.kernel.database import Database
from controller.kernel.filters import page_of
from controller.kernel.rows import columns
from controller.tables.compute import InstanceType, Placement
from controller.tables.hosts import Host
from controller.tables.storage import Image
from protos.cloud.v1 import hosts_pb2


class HostRow(NamedTuple):
    host_id: str
    name: str
    availability_zone: str
    health: str
    hypervisor: str
    hypervisor_away: str
    last_seen_ms: int
    vcpus: int
    vcpus_used: int
    memory_mib: int
    memory_mib_used: int
    disk_gib: int
    disk_gib_used: int
    orphans: str
    version: str
    living: int


class Counted(NamedTuple):
    """The hosts of one health; ``there``: those whose hypervisor is."""

    health: str
    hosts: int
    there: int
    why_away: str


class HostsServicer:
    def __init__(
        self, db: Database, enrolment: Enrolment, zones: Sequence[Zone], settings: Settings
    ):
        self._db, self._enrolment = db, enrolment
        self._zones, self._settings = zones, settings

    def List(self, request: hosts_pb2.ListHostsRequest, call: Call) -> hosts_pb2.ListHostsResponse:
        page = page_of(request.page)
        living = Placement.select(fn.COUNT(Placement.placement_id)).where(
            Placement.host_id == Host.host_id, Placement.live
        )
        with self._db.read(call) as session:
            query = Host.select(*columns(HostRow, Host), living.alias("living"))
            rows = session.rows(page.of(query, Host.host_id), HostRow)
            strange = strangers.of_hosts(session, [row.host_id for row in rows])
        rows, next_token = page.cut(rows, lambda row: row.host_id)
        return hosts_pb2.ListHostsResponse(
            hosts=[
                _message(
                    row,
                    self._zones,
                    [one.resource_id for one in strange if one.host_id == row.host_id],
                )
                for row in rows
            ],
            next_token=next_token,
        )

    def CreateJoinToken(
        self, request: hosts_pb2.CreateJoinTokenRequest, call: Call
    ) -> hosts_pb2.CreateJoinTokenResponse:
        token = self._enrolment.create_token(
            call, request.host_name, request.availability_zone, request.valid_s
        )
        return hosts_pb2.CreateJoinTokenResponse(token=token.text, expires_ms=token.expires_ms)

    def Room(self, request: hosts_pb2.RoomRequest, call: Call) -> hosts_pb2.RoomResponse:
        wanted = InstanceType.select(*columns(Size, InstanceType)).order_by(InstanceType.name)
        if request.instance_types:
            wanted = wanted.where(InstanceType.name.in_(list(request.instance_types)))
        with self._db.read(call) as session:
            of_hosts = Host.select(*columns(HostUse, Host)).where(Host.health == "up")
            hosts = session.rows(of_hosts, HostUse)
            types = session.rows(wanted, Size)
        zones = sorted({host.availability_zone for host in hosts})
        rooms = []
        for kind in types:
            for zone in zones:
                counted = [
                    room(host, kind, self._settings)
                    for host in hosts
                    if host.availability_zone == zone
                ]
                rooms.append(
                    hosts_pb2.Room(
                        instance_type=kind.name,
                        availability_zone=zone,
                        free=sum(free for free, _ in counted),
                        most=sum(most for _, most in counted),
                    )
                )
        return hosts_pb2.RoomResponse(rooms=rooms)

    def Readiness(
        self, request: hosts_pb2.ReadinessRequest, call: Call
    ) -> hosts_pb2.ReadinessResponse:
        with self._db.read(call) as session:
            counted = Host.select(
                Host.health,
                fn.COUNT(Host.host_id).alias("hosts"),
                fn.SUM(Case(None, [(Host.hypervisor_away == "", 1)], 0)).alias("there"),
                fn.MAX(Host.hypervisor_away).alias("why_away"),
            )
            rows = session.rows(counted.group_by(Host.health), Counted)
            health = {row.health: row for row in rows}
            images = session.value(
                Image.select(fn.COUNT(Image.image_id)).where(Image.status == "active"), int
            )
        reasons, up = [], health.get("up")
        if up is None:
            others = [f"{row.hosts} {word}" for word, row in sorted(health.items())]
            reasons.append(f"no host is up ({', '.join(others) or 'none has joined'})")
        elif not up.there:
            reasons.append(f"no host's hypervisor is there, launches wait ({up.why_away})")
        if not images:
            reasons.append("no image is available")
        return hosts_pb2.ReadinessResponse(
            ready=not reasons,
            reasons=reasons,
            hosts_up=up.hosts if up else 0,
            images_available=images or 0,
        )


def _message(row: HostRow, zones: Sequence[Zone], unknown: Sequence[str]) -> hosts_pb2.Host:
    stands_for = [zone.name for zone in zones if row.availability_zone in zone.homes]
    return hosts_pb2.Host(
        host_id=row.host_id,
        name=row.name,
        availability_zone=row.availability_zone,
        health=row.health,
        hypervisor=row.hypervisor,
        hypervisor_away=row.hypervisor_away,
        last_seen_ms=row.last_seen_ms,
        vcpus=row.vcpus,
        vcpus_used=row.vcpus_used,
        memory_mib=row.memory_mib,
        memory_mib_used=row.memory_mib_used,
        disk_gib=row.disk_gib,
        disk_gib_used=row.disk_gib_used,
        instances=row.living,
        orphans=json.loads(row.orphans),
        version=row.version,
        unknown=unknown,
        availability_zones=stands_for or [row.availability_zone],
    )
