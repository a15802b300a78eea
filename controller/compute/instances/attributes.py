"""ModifyInstanceAttribute: one attribute of one instance. Called by compute/rpc.

stopped instances only      instance type, user data, ebs_optimized, ena_support (true, as it is)
any that is not going       the rest
"""

from collections.abc import Iterable
from typing import NamedTuple

from controller.compute.instances import credits
from controller.compute.instances.rules import find_staying, wrong_state
from controller.compute.instances.settings import check_shutdown_behavior, check_user_data
from controller.compute.instances.state import STOPPED
from controller.compute.instances.view import InstanceRow, state_of
from controller.compute.types.rules import no_such_type, runs_on
from controller.hosts.feed import Feed
from controller.kernel.call import Call
from controller.kernel.database import Database, Transaction
from controller.kernel.rows import columns
from controller.network.interfaces import rules as interfaces
from controller.network.interfaces.limits import TypeRow, check_type
from controller.storage.devices import canonical_name
from controller.storage.mappings import bad_mapping
from controller.tables.compute import Attachment, Instance, InstanceType
from controller.tables.nouns import INSTANCE
from protos.cloud.v1 import instances_pb2
from protos.errors import CloudError, Kind, invalid_parameter

STOPPED_ONLY = {"instance_type", "user_data", "ebs_optimized", "ena_support"}
PLAIN = {"disable_api_termination", "disable_api_stop", "ebs_optimized"}  # nothing a host must know


class Device(NamedTuple):
    device_id: str
    device_name: str


class WantedType(NamedTuple):
    vcpus: int
    memory_mib: int
    burstable: bool
    architecture: str
    name: str
    maximum_network_interfaces: int
    ipv4_addresses_per_interface: int


class Attributes:
    def __init__(self, db: Database, feed: Feed):
        self._db, self._feed = db, feed

    def modify(self, call: Call, request: instances_pb2.ModifyInstanceAttributeRequest) -> None:
        """Raises INVALID, NOT_FOUND, WRONG_STATE, QUOTA (interfaces)."""
        attribute = request.WhichOneof("attribute")
        if attribute is None:
            raise CloudError(
                Kind.INVALID, "No attributes specified.", reason="parameter-combination"
            )
        with self._db.write(call) as tx:
            row = find_staying(tx, call.account_id, [request.instance_id], "modified")[0]
            if attribute in STOPPED_ONLY and state_of(row) != STOPPED:
                raise CloudError(
                    Kind.WRONG_STATE,
                    f"The instance '{row.instance_id}' is not in the 'stopped' state.",
                    noun="instance",
                    id=row.instance_id,
                )
            self._set(tx, row, attribute, request)

    def _set(
        self,
        tx: Transaction,
        row: InstanceRow,
        attribute: str,
        request: instances_pb2.ModifyInstanceAttributeRequest,
    ) -> None:
        if attribute == "instance_type":
            self._set_type(tx, row, request.instance_type)
        elif attribute == "source_dest_check":
            wanted = request.source_dest_check
            interfaces.set_source_dest_check(tx, self._feed, row.instance_id, wanted)
        elif attribute == "security_groups":
            group_ids = list(request.security_groups.group_ids)
            interfaces.set_groups(tx, self._feed, row.instance_id, group_ids)
        elif attribute == "delete_on_termination":
            self._set_deletions(tx, row, request.delete_on_termination.devices)
        elif attribute == "ena_support":
            _check_ena_support(request.ena_support)
        else:
            is_it = Instance.instance_id == row.instance_id
            if attribute == "instance_initiated_shutdown_behavior":
                behavior = request.instance_initiated_shutdown_behavior
                check_shutdown_behavior(behavior)
                tx.advance(Instance, {"shutdown_behavior": behavior}, is_it)
                return
            if attribute == "user_data":
                check_user_data(request.user_data)
            tx.advance(Instance, {attribute: getattr(request, attribute)}, is_it)
            if attribute not in PLAIN:
                self._feed.revise(tx, INSTANCE, [row.instance_id])

    def _set_type(self, tx: Transaction, row: InstanceRow, name: str) -> None:
        query = InstanceType.select(*columns(WantedType, InstanceType))
        wanted = tx.one(query.where(InstanceType.name == name), WantedType)
        if wanted is None:
            raise no_such_type(name)
        if not runs_on(row.architecture, wanted.architecture):
            raise invalid_parameter(
                f"The architecture '{wanted.architecture}' of the instance type '{name}' does not "
                f"match the architecture '{row.architecture}' of the instance."
            )
        check_type(tx, row.instance_id, TypeRow(*wanted[-3:]))
        if row.claimed_vcpus:  # seen stopped this moment; what it had is given back before the next
            raise wrong_state(row, "modified")
        changes: dict[str, object] = {
            "instance_type": name,
            "vcpus": wanted.vcpus,
            "memory_mib": wanted.memory_mib,
        }
        if not row.cpu_credits:
            changes["cpu_credits"] = credits.choose("", name, wanted.burstable)
        tx.advance(Instance, changes, Instance.instance_id == row.instance_id)
        self._feed.revise(tx, INSTANCE, [row.instance_id])

    def _set_deletions(
        self, tx: Transaction, row: InstanceRow, devices: Iterable[instances_pb2.BlockDeviceMapping]
    ) -> None:
        attached = tx.rows(
            Attachment.select(*columns(Device, Attachment)).where(
                Attachment.instance_id == row.instance_id, Attachment.kind == "volume"
            ),
            Device,
        )
        there = {canonical_name(one.device_name): one.device_id for one in attached}
        for device in devices:
            volume_id = there.get(canonical_name(device.device_name))
            if volume_id is None:
                raise bad_mapping(f"No device is currently mapped at {device.device_name}")
            changes = {"delete_on_termination": device.delete_on_termination}
            tx.advance(Attachment, changes, Attachment.device_id == volume_id)
        self._feed.revise(tx, INSTANCE, [row.instance_id])


def _check_ena_support(wanted: bool) -> None:
    """Every guest's interfaces are of one kind."""
    if not wanted:
        raise CloudError(
            Kind.UNSUPPORTED, "Enhanced networking cannot be switched off.", noun="parameter"
        )
