"""Filters by tags, for every noun that has them."""

from collections.abc import Sequence

from peewee import SQL

from controller.kernel.filters import Condition, any_of, of_key, pattern
from controller.kernel.table import Clause, Column, Select
from controller.tables.identity import Tag


def tag_filters(resource_id: Column, *seen: Clause) -> dict[str, Condition]:
    """``tag:KEY`` (that tag's value), ``tag-key`` and ``tag-value`` (any tag's). ``seen``: which
    tags the caller may see, where others than the owner see the resource."""
    own = Tag.select(SQL("1")).where(Tag.resource_id == resource_id, *seen)
    return {
        "tag:": of_key(lambda key: _tag_value(resource_id, own.where(Tag.key == key), key, seen)),
        "tag-key": any_of(own, Tag.key),
        "tag-value": any_of(own, Tag.value),
    }


def _tag_value(resource_id: Column, own: Select, key: str, seen: Sequence[Clause]) -> Condition:
    """One tag's value. Without wild cards the tags lead to the resources, so that a name among a
    hundred thousand is found by an index."""

    def condition(values: Sequence[str]) -> Clause:
        patterns = [pattern(value) for value in values]
        if any(wild for _, wild in patterns):
            return any_of(own, Tag.value)(values)
        wanted = [text for text, _ in patterns]
        return resource_id.in_(
            Tag.select(Tag.resource_id).where(Tag.key == key, Tag.value.in_(wanted), *seen)
        )

    return condition
