"""The Volumes service: each method hands on to the module that knows."""

from collections.abc import Sequence
from typing import Protocol

from controller.config import Zone
from controller.hosts import attachment_states
from controller.kernel.call import Call
from controller.kernel.database import Database
from controller.storage.volumes import describe
from controller.storage.volumes.describe import attachment_message
from controller.storage.volumes.modify import Modifier
from controller.storage.volumes.rows import VolumeRow
from controller.storage.volumes.rules import VolumeRules
from protos.cloud.v1 import common_pb2, volumes_pb2


class Attachments(Protocol):
    """How volumes come to instances and leave them (compute/attachments)."""

    def attach(self, call: Call, volume_id: str, instance_id: str, device: str) -> VolumeRow: ...

    def detach(
        self, call: Call, volume_id: str, instance_id: str, device: str, force: bool
    ) -> VolumeRow: ...


class VolumesServicer:
    def __init__(
        self,
        db: Database,
        zones: Sequence[Zone],
        rules: VolumeRules,
        attachments: Attachments,
        modifier: Modifier,
    ):
        self._db, self._rules, self._filters = db, rules, describe.volume_filters(zones)
        self._attachments, self._modifier = attachments, modifier

    def Create(self, request: volumes_pb2.CreateVolumeRequest, call: Call) -> volumes_pb2.Volume:
        with self._db.write(call) as tx:
            volume_id = self._rules.create(tx, request)
            return describe.volume_message(tx, call, volume_id)

    def Describe(
        self, request: volumes_pb2.DescribeVolumesRequest, call: Call
    ) -> volumes_pb2.DescribeVolumesResponse:
        with self._db.read(call) as session:
            return describe.describe(session, call, request, self._filters)

    def DescribeStatus(
        self, request: volumes_pb2.DescribeVolumesRequest, call: Call
    ) -> volumes_pb2.DescribeVolumeStatusResponse:
        with self._db.read(call) as session:
            return describe.statuses(session, call, request)

    def Delete(self, request: volumes_pb2.VolumeRequest, call: Call) -> common_pb2.Empty:
        self._rules.delete(call, request.volume_id)
        return common_pb2.Empty()

    def Attach(
        self, request: volumes_pb2.AttachVolumeRequest, call: Call
    ) -> volumes_pb2.VolumeAttachment:
        row = self._attachments.attach(call, request.volume_id, request.instance_id, request.device)
        return attachment_message(row, attachment_states.ATTACHING)

    def Detach(
        self, request: volumes_pb2.DetachVolumeRequest, call: Call
    ) -> volumes_pb2.VolumeAttachment:
        row = self._attachments.detach(
            call, request.volume_id, request.instance_id, request.device, request.force
        )
        return attachment_message(row, attachment_states.DETACHING)

    def Modify(
        self, request: volumes_pb2.ModifyVolumeRequest, call: Call
    ) -> volumes_pb2.VolumeModification:
        return self._modifier.modify(call, request)

    def DescribeModifications(
        self, request: volumes_pb2.DescribeVolumesRequest, call: Call
    ) -> volumes_pb2.DescribeVolumesModificationsResponse:
        with self._db.read(call) as session:
            return describe.modifications(session, call, request)
