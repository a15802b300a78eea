"""What every table is made from."""

from peewee import SQL, Field, Model

from controller.kernel.columns import BigIntegerField, BooleanField, IntegerField, TextField


class Table(Model):
    """A table. Bound to no database: a session says where a query runs."""

    class Meta:
        legacy_table_names = False


def text(**options) -> TextField:
    return TextField(**{"default": "", **options})


def maybe_text(**options) -> TextField:
    return TextField(null=True, **options)


def number(**options) -> BigIntegerField:
    return BigIntegerField(**{"default": 0, **options})


def small(**options) -> IntegerField:
    return IntegerField(**{"default": 0, **options})


def flag(default: bool = False) -> BooleanField:
    return BooleanField(default=default)


def id_key() -> TextField:
    return TextField(primary_key=True)


def ref(
    target: Field, *, null: bool = False, cascade: bool = False, key: bool = False
) -> TextField:
    """A foreign key as a plain column: the value is the id. ``cascade``: the row goes with what it
    refers to. ``key``: it is the table's primary key as well."""
    model = target.model._meta.table_name
    action = " ON DELETE CASCADE" if cascade else ""
    reference = SQL(f'REFERENCES "{model}" ("{target.column_name}"){action}')
    return TextField(null=null, primary_key=key, constraints=[reference])
