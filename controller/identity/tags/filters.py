"""Filters by tags, for every noun that has them."""

from collections.abc import Callable, Sequence

from peewee import SQL, Expression, Field, ModelSelect

from controller.kernel.filters import Condition, any_of, pattern
from controller.tables.identity import Tag


def tag_filters(resource_id: Field, *seen: Expression) -> dict[str, Callable]:
    """``tag:KEY`` (that tag's value), ``tag-key`` and ``tag-value`` (any tag's). ``seen``: which
    tags the caller may see, where others than the owner see the resource."""
    own = Tag.select(SQL("1")).where(Tag.resource_id == resource_id, *seen)
    return {
        "tag:": lambda key: _tag_value(resource_id, own.where(Tag.key == key), key, seen),
        "tag-key": any_of(own, Tag.key),
        "tag-value": any_of(own, Tag.value),
    }


def _tag_value(
    resource_id: Field, own: ModelSelect, key: str, seen: Sequence[Expression]
) -> Condition:
    """One tag's value. Without wild cards the tags lead to the resources, so that a name among a
    hundred thousand is found by an index."""

    def condition(values: Sequence[str]):
        patterns = [pattern(value) for value in values]
        if any(wild for _, wild in patterns):
            return any_of(own, Tag.value)(values)
        wanted = [text for text, _ in patterns]
        return resource_id.in_(
            Tag.select(Tag.resource_id).where(Tag.key == key, Tag.value.in_(wanted), *seen)
        )

    return condition
