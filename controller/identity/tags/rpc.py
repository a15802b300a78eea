"""The service Tags: CreateTags, DeleteTags, DescribeTags."""

from collections.abc import Callable, Collection
from typing import NamedTuple

from controller.identity.tags import rules
from controller.identity.tags.checks import check_keys_in_metadata
from controller.kernel.call import Call
from controller.kernel.database import Database, Transaction
from controller.kernel.filters import Page, column, of_key, page_of, where
from controller.kernel.owned import Owned
from controller.kernel.rows import columns
from controller.kernel.table import Clause
from controller.tables.identity import Tag
from protos.cloud.v1 import common_pb2, tags_pb2
from protos.errors import CloudError, Kind

FILTERS = {
    "key": column(Tag.key),
    "value": column(Tag.value),
    "resource-id": column(Tag.resource_id),
    "resource-type": column(Tag.resource_type),
    "tag:": of_key(lambda key: lambda values: (Tag.key == key) & column(Tag.value)(values)),
}
_SEPARATOR = "\n"  # no id has one


class TagRow(NamedTuple):
    resource_id: str
    resource_type: str
    key: str
    value: str


class TagsServicer:
    """``taggable``: what there is, by noun. retagged(tx, instance ids): called with the instances
    that tags were changed of; answers those whose guests read them."""

    def __init__(
        self,
        db: Database,
        taggable: Collection[Owned],
        retagged: Callable[[Transaction, list[str]], list[str]],
    ):
        self._db, self._taggable, self._retagged = db, taggable, retagged

    def Create(self, request: tags_pb2.CreateTagsRequest, call: Call) -> common_pb2.Empty:
        with self._db.write(call) as tx:
            found = rules.create(tx, self._taggable, request.resource_ids, request.tags)
            if self._retagged(tx, found.get("instance", [])):
                check_keys_in_metadata(tag.key for tag in request.tags)
        return common_pb2.Empty()

    def Delete(self, request: tags_pb2.DeleteTagsRequest, call: Call) -> common_pb2.Empty:
        with self._db.write(call) as tx:
            found = rules.delete(tx, self._taggable, request.resource_ids, request.tags)
            self._retagged(tx, found.get("instance", []))
        return common_pb2.Empty()

    def Describe(
        self, request: tags_pb2.DescribeTagsRequest, call: Call
    ) -> tags_pb2.DescribeTagsResponse:
        page = page_of(request.page)
        query = (
            Tag.select(*columns(TagRow, Tag))
            .where(Tag.account_id == call.account_id, *where(FILTERS, request.filters))
            .order_by(Tag.resource_id, Tag.key)
        )
        if page.after:
            query = query.where(_after(page))
        if page.limit is not None:
            query = query.limit(page.limit + 1)
        with self._db.read(call) as session:
            rows = session.rows(query, TagRow)
        rows, token = page.cut(rows, lambda row: f"{row.resource_id}{_SEPARATOR}{row.key}")
        return tags_pb2.DescribeTagsResponse(
            tags=[tags_pb2.TagDescription(**row._asdict()) for row in rows], next_token=token
        )


def _after(page: Page) -> Clause:
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
