"""MonitorInstances and UnmonitorInstances: the setting is kept and shown, also by the guest's
metadata service, and nothing of a guest is measured more often for it. Called by compute/rpc."""

from collections.abc import Sequence

from controller.compute.instances.rules import find_staying
from controller.hosts.feed import Feed
from controller.kernel.call import Call
from controller.kernel.database import Database
from controller.tables.nouns import INSTANCE
from protos.cloud.v1 import instances_pb2


def set_monitoring(
    db: Database, feed: Feed, call: Call, instance_ids: Sequence[str], wanted: bool
) -> instances_pb2.InstanceMonitorings:
    """All instances of a call or none; what is so already is answered as such.

    Raises MALFORMED_ID, NOT_FOUND, WRONG_STATE.
    """
    changing, unchanged = ("pending", "enabled") if wanted else ("disabling", "disabled")
    with db.write(call) as tx:
        rows = find_staying(tx, call.account_id, instance_ids, "monitored")
        others = [row.instance_id for row in rows if bool(row.monitoring) != wanted]
        if others:
            feed.revise(tx, INSTANCE, others, {"monitoring": wanted}, at_once=False)
    return instances_pb2.InstanceMonitorings(
        instances=[
            instances_pb2.InstanceMonitoring(
                instance_id=row.instance_id,
                state=changing if row.instance_id in others else unchanged,
            )
            for row in rows
        ]
    )
