"""DescribeInstances and its kin: five or six statements a page, whatever its size.

Called by compute/rpc, and by launch for the answer to a token used before. Pages are by key
(instance id), so that page n costs what page 1 does.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from peewee import JOIN

from controller.compute.instances import status_checks as checks
from controller.compute.instances import view
from controller.compute.instances.filters import instance_filters, status_filters
from controller.compute.instances.state import RUNNING
from controller.compute.instances.view import AttachedVolume, InstanceRow
from controller.config import Zone
from controller.hosts.guests import with_guest
from controller.identity.tags.rules import tags_of
from controller.kernel.call import Call
from controller.kernel.database import Database, Session
from controller.kernel.filters import page_of, where
from controller.kernel.lookup import check_ids, not_found, select_page
from controller.kernel.prepared import among, prepared
from controller.kernel.table import Clause, Select
from controller.network.interfaces.rules import groups_of, interfaces_query, secondary_of
from controller.network.names import DnsNames
from controller.network.view import InterfaceRow, interface_message
from controller.tables.compute import Attachment, Instance, Placement
from controller.tables.hosts import Assignment, Host
from protos.cloud.v1 import instances_pb2, networks_pb2

# What can be selected of an instance, by name: its own columns and its guest's, NULL where it has
# none.
_FIELDS: Mapping[str, Clause] = {
    **Instance._meta.fields,
    "placement_id": Placement.placement_id,
    "host_id": Placement.host_id,
    "observed": Assignment.observed,
    "observed_revision": Assignment.observed_revision,
    "ran_start": Placement.ran_start,
    "devices_revision": Placement.devices_revision,
    "network_revision": Placement.network_revision,
    "claimed_vcpus": Placement.vcpus.alias("claimed_vcpus"),
    "status_check": Placement.status_check,
    "status_check_since_ms": Placement.status_check_since_ms,
}


class StatusRow(NamedTuple):
    """An instance with its guest and the host of that, or None."""

    instance_id: str
    availability_zone: str
    desired: str
    intent_revision: int
    observed: str | None
    observed_revision: int | None
    status_check: str
    status_check_since_ms: int
    health: str
    last_seen_ms: int


def instances_query(row: type[NamedTuple] = InstanceRow, **more: Clause) -> Select:
    """All instances, each a ``row``, joined with their guests. ``more``: what it names of tables
    that the caller joins."""
    fields = {**_FIELDS, **more}
    query = Instance.select(*(fields[name] for name in row._fields))
    return with_guest(query, Instance.instance_id)


class Describer:
    def __init__(self, db: Database, names: DnsNames, zones: Sequence[Zone] = ()):
        self._db, self._names = db, names
        self._filters = instance_filters(names, zones)
        self._status_filters = status_filters(zones)

    def describe(
        self, call: Call, request: instances_pb2.DescribeInstancesRequest
    ) -> instances_pb2.DescribeInstancesResponse:
        page = page_of(request.page, explicit_ids=request.instance_ids)
        conditions = where(self._filters, request.filters)
        with self._db.read(call) as session:
            if conditions or request.instance_ids:
                rows, next_token = select_page(
                    session,
                    _own(call),
                    Instance.instance_id,
                    "instance",
                    request.instance_ids,
                    conditions,
                    page,
                    row=InstanceRow,
                )
            else:  # the commonest question, of one shape
                page.expect("instance")
                asked = {"account_id": call.account_id, "after": page.after}
                query = _page_query(**asked, limit=page.limit_of_query)
                rows = session.rows(query, InstanceRow)
                rows, next_token = page.cut(rows, lambda row: row.instance_id)
            instances = self._messages(session, call, rows)
        return instances_pb2.DescribeInstancesResponse(
            reservations=view.reservations(instances), next_token=next_token
        )

    def reservation(
        self, session: Session, call: Call, reservation_id: str
    ) -> instances_pb2.Reservation:
        """All instances of one launch."""
        query = _own(call).where(Instance.reservation_id == reservation_id)
        rows = session.rows(query.order_by(Instance.ami_launch_index), InstanceRow)
        return view.reservations(self._messages(session, call, rows))[0]

    def attributes(self, call: Call, instance_id: str) -> instances_pb2.InstanceAttributes:
        check_ids("instance", [instance_id])
        with self._db.read(call) as session:
            is_it = Instance.instance_id == instance_id
            rows = session.rows(_own(call).where(is_it), InstanceRow)
            if not rows:
                raise not_found("instance", instance_id)
            session.authorize("instance", [instance_id])
            user_data = session.value(Instance.select(Instance.user_data).where(is_it), bytes)
            instance = self._messages(session, call, rows)[0]
        row = rows[0]
        return instances_pb2.InstanceAttributes(
            instance=instance,
            user_data=bytes(user_data or b""),
            disable_api_termination=row.disable_api_termination,
            disable_api_stop=row.disable_api_stop,
            instance_initiated_shutdown_behavior=row.shutdown_behavior,
        )

    def statuses(
        self, call: Call, request: instances_pb2.DescribeInstanceStatusRequest
    ) -> instances_pb2.DescribeInstanceStatusResponse:
        page = page_of(request.page, explicit_ids=request.instance_ids)
        conditions = where(self._status_filters, request.filters)
        if not request.include_all_instances:
            conditions.append(self._status_filters["instance-state-name"](["running"]))
        with self._db.read(call) as session:
            query = (
                instances_query(StatusRow, health=Host.health, last_seen_ms=Host.last_seen_ms)
                .join(Host, JOIN.LEFT_OUTER, on=Host.host_id == Placement.host_id)
                .where(Instance.account_id == call.account_id)
            )
            rows, next_token = select_page(
                session,
                query,
                Instance.instance_id,
                "instance",
                request.instance_ids,
                conditions,
                page,
                row=StatusRow,
            )
        return instances_pb2.DescribeInstanceStatusResponse(
            statuses=[_status(row) for row in rows], next_token=next_token
        )

    def _messages(
        self, session: Session, call: Call, rows: Sequence[InstanceRow]
    ) -> list[instances_pb2.Instance]:
        instance_ids = [row.instance_id for row in rows]
        nics = self._nics(session, instance_ids)
        volumes = _volumes(session, instance_ids)
        tags = tags_of(session, instance_ids)
        return [
            view.instance_message(
                row,
                nics.get(row.instance_id, ()),
                volumes.get(row.instance_id, ()),
                tags.get(row.instance_id, ()),
                self._names,
                operator=call.operator,
            )
            for row in rows
        ]

    def _nics(
        self, session: Session, instance_ids: Sequence[str]
    ) -> Mapping[str, list[networks_pb2.NetworkInterface]]:
        """Interfaces by instance, without their tags: EC2 shows none of them here."""
        found: dict[str, list[networks_pb2.NetworkInterface]] = defaultdict(list)
        if instance_ids:
            rows = session.rows(_nics_query(instance_ids=instance_ids), InterfaceRow)
            nic_ids = [row.network_interface_id for row in rows]
            groups, more = groups_of(session, nic_ids), secondary_of(session, nic_ids)
            for nic_id, row in zip(nic_ids, rows, strict=True):
                message = interface_message(row, self._names, groups[nic_id], (), more[nic_id])
                found[row.instance_id or ""].append(message)
        return found


def _own(call: Call) -> Select:
    return instances_query().where(Instance.account_id == call.account_id)


@prepared
def _page_query(account_id: str, after: str, limit: int) -> Select:
    key = Instance.instance_id
    own = instances_query().where(Instance.account_id == account_id, key > after)
    return own.order_by(key).limit(limit)


def _volumes(session: Session, instance_ids: Sequence[str]) -> Mapping[str, list[AttachedVolume]]:
    found: dict[str, list[AttachedVolume]] = defaultdict(list)
    if instance_ids:
        for row in session.rows(_volumes_query(instance_ids=instance_ids), AttachedVolume):
            found[row.instance_id].append(row)
    return found


@prepared
def _volumes_query(instance_ids: Sequence[str]) -> Select:
    return (
        Attachment.select(
            Attachment.instance_id,
            Attachment.device_id.alias("volume_id"),
            Attachment.device_name,
            Attachment.attached_ms,
            Attachment.delete_on_termination,
            Attachment.revision.alias("attach_revision"),
            Attachment.detaching,
            Attachment.busy,
        )
        .where(among(Attachment.instance_id, instance_ids), Attachment.kind == "volume")
        .order_by(Attachment.instance_id, Attachment.position)
    )


@prepared
def _nics_query(instance_ids: Sequence[str]) -> Select:
    of_instances = interfaces_query().where(among(Attachment.instance_id, instance_ids))
    return of_instances.order_by(Attachment.instance_id, Attachment.position)


def _status(row: StatusRow) -> instances_pb2.InstanceStatus:
    """A host's silence changes the checks, never the state: not seeing is not knowing."""
    state = view.state_of(row)
    message = instances_pb2.InstanceStatus(
        instance_id=row.instance_id,
        availability_zone=row.availability_zone,
        state=state,
        instance_status=checks.NOT_APPLICABLE,
        system_status=checks.NOT_APPLICABLE,
    )
    if state != RUNNING:
        return message
    message.system_status = checks.system_status(row.health)
    message.instance_status = checks.instance_status(row.health, row.status_check)
    if message.system_status == "impaired":
        message.system_impaired_since_ms = row.last_seen_ms
    if message.instance_status == "impaired":
        lost = message.system_status == "impaired"
        message.instance_impaired_since_ms = row.last_seen_ms if lost else row.status_check_since_ms
    return message
