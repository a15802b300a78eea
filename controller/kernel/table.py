"""What every table is made from, and the types of what queries are made from."""

from typing import TYPE_CHECKING, Any, TypeAlias

import peewee
from peewee import SQL, ColumnBase, Field, Model, ModelSelect

from controller.kernel.columns import BigIntegerField, BooleanField, IntegerField, TextField

Clause: TypeAlias = ColumnBase  # a condition, or what one compares
if TYPE_CHECKING:
    Select: TypeAlias = ModelSelect[Any]
    Column: TypeAlias = Field[Any]
else:  # generic in peewee's stubs alone
    Select, Column = ModelSelect, Field


class Table(Model):
    """A table. Bound to no database: a session says where a query runs."""

    class Meta:
        legacy_table_names = False


def text(**options: Any) -> "peewee.TextField[str]":
    return TextField(**{"default": "", **options})


def maybe_text(**options: Any) -> "peewee.TextField[str | None]":
    return TextField(null=True, **options)


def number(**options: Any) -> "peewee.BigIntegerField[int]":
    return BigIntegerField(**{"default": 0, **options})


def small(**options: Any) -> "peewee.IntegerField[int]":
    return IntegerField(**{"default": 0, **options})


def flag(default: bool = False) -> "peewee.BooleanField[bool]":
    return BooleanField(default=default)


def id_key() -> "peewee.TextField[str]":
    return TextField(primary_key=True)


def ref(target: Column, *, cascade: bool = False, key: bool = False) -> "peewee.TextField[str]":
    """A foreign key as a plain column: the value is the id. ``cascade``: the row goes with what it
    refers to. ``key``: it is the table's primary key as well."""
    return TextField(primary_key=key, constraints=[_references(target, cascade)])


def maybe_ref(target: Column) -> "peewee.TextField[str | None]":
    """A foreign key, or NULL."""
    return TextField(null=True, constraints=[_references(target, cascade=False)])


def _references(target: Column, cascade: bool) -> SQL:
    model = target.model._meta.table_name
    action = " ON DELETE CASCADE" if cascade else ""
    return SQL(f'REFERENCES "{model}" ("{target.column_name}"){action}')
