"""The service Snapshots: from the wire to the rules and back."""

from controller.kernel.call import Call
from controller.kernel.database import Database
from controller.storage.snapshots.describe import describe_snapshot, describe_snapshots
from controller.storage.snapshots.rules import SnapshotRules, own
from controller.storage.snapshots.sources import SHARES
from protos.cloud.v1 import common_pb2, volumes_pb2


class SnapshotsServicer:
    def __init__(self, db: Database, rules: SnapshotRules):
        self._db, self._rules = db, rules

    def Create(
        self, request: volumes_pb2.CreateSnapshotRequest, call: Call
    ) -> volumes_pb2.Snapshot:
        with self._db.write(call) as tx:
            snapshot_id = self._rules.create(tx, request)
            return describe_snapshot(tx, call, snapshot_id)

    def Describe(
        self, request: volumes_pb2.DescribeSnapshotsRequest, call: Call
    ) -> volumes_pb2.DescribeSnapshotsResponse:
        with self._db.read(call) as session:
            return describe_snapshots(session, call, request)

    def Delete(self, request: volumes_pb2.SnapshotRequest, call: Call) -> common_pb2.Empty:
        with self._db.write(call) as tx:
            self._rules.delete(tx, request.snapshot_id)
        return common_pb2.Empty()

    def DescribeAttribute(
        self, request: volumes_pb2.SnapshotRequest, call: Call
    ) -> volumes_pb2.SnapshotSharing:
        with self._db.read(call) as session:
            snapshot = own(session, call, request.snapshot_id)
            return volumes_pb2.SnapshotSharing(
                snapshot_id=request.snapshot_id,
                public=snapshot.public,
                account_ids=SHARES.of(session, request.snapshot_id),
            )

    def ModifyAttribute(
        self, request: volumes_pb2.ModifySnapshotAttributeRequest, call: Call
    ) -> common_pb2.Empty:
        with self._db.write(call) as tx:
            self._rules.share(tx, request)
        return common_pb2.Empty()

    def ResetAttribute(self, request: volumes_pb2.SnapshotRequest, call: Call) -> common_pb2.Empty:
        with self._db.write(call) as tx:
            self._rules.unshare(tx, request.snapshot_id)
        return common_pb2.Empty()
