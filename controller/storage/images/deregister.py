"""DeregisterImage: the image is not shown any more, and its snapshots go too where that is asked
for. While its row lasts (storage/images/collect), who names it is told that it was there (0471).

Called by the service (rpc). Its bytes go once nothing needs them (storage/images/collect,
storage/snapshots/collect). Source: EC2 API Reference, DeregisterImage.
"""

from controller.identity.tags import rules as tags
from controller.kernel.database import Transaction
from controller.storage.images.sharing import own
from controller.storage.snapshots.rules import SnapshotRules
from controller.storage.states import GONE
from controller.tables.storage import Image, ImageBlockDevice
from protos.cloud.v1 import images_pb2
from protos.errors import CloudError, Kind

SUCCESS = "success"
_REFUSED = {  # why a snapshot stays, in EC2's words
    Kind.WRONG_STATE: "skipped",
    Kind.DENIED: "missing-permissions",
    Kind.NOT_FOUND: "missing-permissions",
}


def deregister(
    tx: Transaction, snapshots: SnapshotRules, request: images_pb2.DeregisterImageRequest
) -> images_pb2.DeregisterImageResponse:
    """Raises MALFORMED_ID, NOT_FOUND, DENIED, WRONG_STATE (it is already)."""
    image_id = request.image_id
    own(tx, tx.call, image_id)
    tx.advance(
        Image,
        {"status": "pending_delete", "deleted_ms": tx.call.now_ms},
        Image.image_id == image_id,
        Image.status.not_in(GONE),
    )
    tags.remove_all(tx, [image_id])
    answer = images_pb2.DeregisterImageResponse()
    if request.delete_associated_snapshots:
        for snapshot_id in _snapshots_of(tx, image_id):
            result = _delete(tx, snapshots, snapshot_id)
            answer.snapshots.add(snapshot_id=snapshot_id, result=result)
    return answer


def _snapshots_of(tx: Transaction, image_id: str) -> list[str]:
    query = (
        ImageBlockDevice.select(ImageBlockDevice.snapshot_id)
        .where(ImageBlockDevice.image_id == image_id, ImageBlockDevice.snapshot_id != "")
        .order_by(ImageBlockDevice.position)
    )
    return list(dict.fromkeys(tx.column(query, str)))


def _delete(tx: Transaction, snapshots: SnapshotRules, snapshot_id: str) -> str:
    """What became of it. A refusal comes before anything is changed."""
    try:
        tx.authorize("snapshot", [snapshot_id], action="ec2:DeleteSnapshot")
        snapshots.delete(tx, snapshot_id)
    except CloudError as refusal:
        if refusal.kind not in _REFUSED:
            raise
        return _REFUSED[refusal.kind]
    return SUCCESS
