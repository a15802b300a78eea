"""ModifyInstanceMetadataOptions: what an instance's metadata service answers by, from now on.

Called by compute/rpc; ``retagged`` by the service Tags. The host is told at once; the options
show as ``pending`` until it has said that the network follows them (view.metadata_state). A stopped
instance begins with them.
"""

from controller.compute.instances.rules import find, find_staying
from controller.compute.instances.settings import metadata_columns, shows_tags
from controller.compute.instances.view import metadata_options
from controller.hosts.feed import Feed
from controller.identity.tags.checks import check_keys_in_metadata
from controller.identity.tags.rules import tags_of
from controller.kernel.call import Call
from controller.kernel.database import Database, Transaction
from controller.tables.compute import Instance
from controller.tables.nouns import INSTANCE
from protos.cloud.v1 import instances_pb2


def modify(
    db: Database,
    feed: Feed,
    call: Call,
    request: instances_pb2.ModifyMetadataOptionsRequest,
) -> instances_pb2.MetadataOptions:
    """Raises INVALID, UNSUPPORTED (IPv6), MALFORMED_ID, NOT_FOUND, WRONG_STATE."""
    wanted = metadata_columns(request.options)
    with db.write(call) as tx:
        (row,) = find_staying(tx, call.account_id, [request.instance_id], "modified")
        new = {name: value for name, value in wanted.items() if value != getattr(row, name)}
        if shows_tags(new):
            shown = tags_of(tx, [row.instance_id])[row.instance_id]
            check_keys_in_metadata(tag.key for tag in shown)
        if new:
            feed.revise(tx, INSTANCE, [row.instance_id], new, stamps=("metadata_revision",))
            (row,) = find(tx, call.account_id, [row.instance_id])
        return metadata_options(row)


def retagged(feed: Feed, tx: Transaction, instance_ids: list[str]) -> list[str]:
    """Tags of these instances were changed: guests that may read theirs from the metadata service
    get the new ones. Answers whose."""
    if not instance_ids:
        return []
    query = Instance.select(Instance.instance_id).where(
        Instance.instance_id.in_(instance_ids), Instance.metadata_tags == "enabled"
    )
    if shown := tx.column(query, str):
        feed.revise(tx, INSTANCE, shown)
    return shown
