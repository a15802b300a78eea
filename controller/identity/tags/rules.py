"""Tags on resources: the only writer of the table ``tag``.

``add`` is called by every rule that creates something, with the tags of its TagSpecifications;
``remove_all`` by every rule that removes something for good; ``create`` and ``delete`` are the
calls CreateTags and DeleteTags.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from peewee import SQL, fn

from controller.identity.permissions import requested
from controller.identity.tags.checks import (
    TAGS_PER_RESOURCE_MAX,
    check_key,
    check_tags,
    too_many_tags,
)
from controller.kernel.database import Session, Transaction
from controller.kernel.filters import either
from controller.kernel.lookup import check_there
from controller.kernel.owned import Owned
from controller.kernel.prepared import among, prepared
from controller.kernel.table import Clause, Select
from controller.tables.identity import Tag
from protos import ids
from protos.cloud.v1 import common_pb2, tags_pb2
from protos.errors import CloudError, Kind, invalid_parameter, missing_parameter

RESOURCES_PER_CALL_MAX = 1000  # EC2 API Reference, CreateTags
TAGS_PER_CALL_MAX = 1000  # of DeleteTags; a resource has 50 at most


def add(
    tx: Transaction, account_id: str, tagged: Iterable[tuple[str, Iterable[str], Mapping[str, str]]]
) -> None:
    """Tags what was just created, in one statement: (resource type, ids, tags checked already) …

    That takes permission to create tags as well. Raises DENIED.
    """
    tagged = [each for each in tagged if each[2]]
    for resource_type, _, tags in tagged:
        context = requested(tags.items())
        tx.authorize(resource_type, ["*"], action="ec2:CreateTags", context=context)
    rows = [
        {
            "resource_id": resource_id,
            "key": key,
            "value": value,
            "account_id": account_id,
            "resource_type": resource_type,
        }
        for resource_type, resource_ids, tags in tagged
        for resource_id in resource_ids
        for key, value in tags.items()
    ]
    if rows:
        tx.insert(Tag, rows)


def remove_all(tx: Transaction, resource_ids: Sequence[str]) -> None:
    """The tags of what is gone for good."""
    if resource_ids:
        tx.delete(Tag, Tag.resource_id.in_(resource_ids))


def tags_of(session: Session, resource_ids: Sequence[str]) -> dict[str, list[common_pb2.Tag]]:
    """The tags of many resources in one statement, by key; [] for those that have none."""
    found: dict[str, list[common_pb2.Tag]] = defaultdict(list)
    if resource_ids:
        query = _tags_query(resource_ids=resource_ids)
        for resource_id, key, value in session.tuples(query):
            found[resource_id].append(common_pb2.Tag(key=key, value=value))
    return found


@prepared
def _tags_query(resource_ids: Sequence[str]) -> Select:
    return (
        Tag.select(Tag.resource_id, Tag.key, Tag.value)
        .where(among(Tag.resource_id, resource_ids))
        .order_by(Tag.resource_id, Tag.key)
    )


def create(
    tx: Transaction,
    taggable: Collection[Owned],
    resource_ids: Sequence[str],
    tags: Sequence[common_pb2.Tag],
) -> dict[str, list[str]]:
    """CreateTags: adds or overwrites. Answers which resources were tagged, by noun.

    Raises INVALID, MALFORMED_ID, NOT_FOUND (no tag is set then on any of them), QUOTA.
    """
    if not tags:
        raise missing_parameter("Tag")
    checked = check_tags(tags)
    found = _owned(tx, taggable, resource_ids)
    now = [(noun, owned, checked) for noun, owned in found.items()]
    rows = [
        {
            "resource_id": resource_id,
            "key": key,
            "value": value,
            "account_id": tx.call.account_id,
            "resource_type": noun,
        }
        for noun, owned, values in now
        for resource_id in owned
        for key, value in values.items()
    ]
    tx.insert(Tag, rows, on_conflict=("resource_id", "key"), update=("value",))
    every = [resource_id for owned in found.values() for resource_id in owned]
    crowded = tx.exists(
        Tag.select(Tag.resource_id)
        .where(Tag.resource_id.in_(every))
        .group_by(Tag.resource_id)
        .having(fn.COUNT(SQL("1")) > TAGS_PER_RESOURCE_MAX)
    )
    if crowded:
        raise too_many_tags()
    return found


def delete(
    tx: Transaction,
    taggable: Collection[Owned],
    resource_ids: Sequence[str],
    tags: Sequence[tags_pb2.TagSelector],
) -> dict[str, list[str]]:
    """DeleteTags. A tag that is not there is no error; resources must be. Answers them by noun."""
    if len(tags) > TAGS_PER_CALL_MAX:
        raise CloudError(
            Kind.INVALID, f"At most {TAGS_PER_CALL_MAX} tags can be deleted at once", noun="tag"
        )
    for tag in tags:
        check_key(tag.key)
    found = _owned(tx, taggable, resource_ids)
    every = [resource_id for owned in found.values() for resource_id in owned]
    chosen = Tag.resource_id.in_(every)
    if tags:
        chosen = chosen & either([_selected(tag) for tag in tags])
    tx.delete(Tag, chosen)
    return found


def _selected(tag: tags_pb2.TagSelector) -> Clause:
    """A tag whatever its value, or, where one is given (also the empty one), if it is that."""
    by_key = Tag.key == tag.key
    return by_key & (Tag.value == tag.value) if tag.HasField("value") else by_key


def _owned(
    tx: Transaction, taggable: Collection[Owned], resource_ids: Sequence[str]
) -> dict[str, list[str]]:
    """The caller's resources of these ids by noun, in one statement a noun.

    Raises MALFORMED_ID, NOT_FOUND for those of the first noun that has any which are not theirs.
    """
    if not resource_ids:
        raise missing_parameter("ResourceId")
    if len(resource_ids) > RESOURCES_PER_CALL_MAX:
        raise CloudError(
            Kind.INVALID,
            f"At most {RESOURCES_PER_CALL_MAX} resources can be tagged at once",
            noun="parameter",
        )
    if not all(resource_ids):
        raise invalid_parameter("Null/empty value for resourceId is invalid")
    known = {resource.name: resource for resource in taggable}
    by_noun: dict[str, list[str]] = {}
    for resource_id in dict.fromkeys(resource_ids):
        noun = ids.noun_of(resource_id)
        if noun not in known:
            raise CloudError(
                Kind.MALFORMED_ID,
                f"The ID '{resource_id}' is not valid",
                noun="tag",
                id=resource_id,
            )
        by_noun.setdefault(noun, []).append(resource_id)
    for noun, wanted in by_noun.items():
        owned = known[noun]
        query = owned.table.select(owned.key).where(
            owned.key.in_(wanted), *owned.of(tx.call.account_id)
        )
        there = set(tx.column(query, str))
        check_there(noun, wanted, there)
        tx.authorize(noun, wanted)
    return by_noun
