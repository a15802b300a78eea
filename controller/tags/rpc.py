"""The service Tags: CreateTags, DeleteTags, DescribeTags."""

from controller.call import Call
from controller.db.filters import Page, column, page_of, where
from controller.db.schema import Instance, Tag
from controller.db.session import Database, Transaction
from controller.hosts.feed import Feed
from controller.nouns import INSTANCE
from controller.tags import rules
from controller.tags.checks import check_keys_in_metadata
from protos.cloud.v1 import common_pb2, tags_pb2
from protos.errors import CloudError, Kind

FILTERS = {
    "key": column(Tag.key),
    "value": column(Tag.value),
    "resource-id": column(Tag.resource_id),
    "resource-type": column(Tag.resource_type),
    "tag:": lambda key: lambda values: (Tag.key == key) & column(Tag.value)(values),
}
_SEPARATOR = "\n"  # no id has one


class TagsServicer:
    def __init__(self, db: Database, feed: Feed):
        self._db, self._feed = db, feed

    def Create(self, request: tags_pb2.CreateTagsRequest, call: Call):
        with self._db.write(call) as tx:
            found = rules.create(tx, request.resource_ids, request.tags)
            if self._tell_hosts(tx, found.get("instance", [])):
                check_keys_in_metadata(tag.key for tag in request.tags)
        return common_pb2.Empty()

    def Delete(self, request: tags_pb2.DeleteTagsRequest, call: Call):
        with self._db.write(call) as tx:
            found = rules.delete(tx, request.resource_ids, request.tags)
            self._tell_hosts(tx, found.get("instance", []))
        return common_pb2.Empty()

    def Describe(self, request: tags_pb2.DescribeTagsRequest, call: Call):
        page = page_of(request.page)
        query = (
            Tag.select(Tag.resource_id, Tag.resource_type, Tag.key, Tag.value)
            .where(Tag.account_id == call.account_id, *where(FILTERS, request.filters))
            .order_by(Tag.resource_id, Tag.key)
        )
        if page.after:
            query = query.where(_after(page))
        if page.limit is not None:
            query = query.limit(page.limit + 1)
        with self._db.read() as session:
            rows = session.rows(query)
        rows, token = page.cut(rows, lambda row: f"{row.resource_id}{_SEPARATOR}{row.key}")
        return tags_pb2.DescribeTagsResponse(
            tags=[tags_pb2.TagDescription(**row._asdict()) for row in rows], next_token=token
        )

    def _tell_hosts(self, tx: Transaction, instance_ids: list[str]) -> list[str]:
        """Guests that may read their tags from the metadata service get the new ones: answers
        whose."""
        if not instance_ids:
            return []
        query = Instance.select(Instance.instance_id).where(
            Instance.instance_id.in_(instance_ids), Instance.metadata_tags == "enabled"
        )
        if shown := [row[0] for row in tx.tuples(query)]:
            self._feed.revise(tx, INSTANCE, shown)
        return shown


def _after(page: Page):
    """What follows the last row of the page before: its resource's further keys, others."""
    resource_id, separator, key = page.after.partition(_SEPARATOR)
    if not separator:
        raise CloudError(
            Kind.INVALID,
            "The token supplied for parameter nextToken is invalid.",
            reason="next-token",
        )
    further = (Tag.resource_id > resource_id) | (Tag.key > key)
    return (Tag.resource_id >= resource_id) & further  # the first part is what the index is read by
