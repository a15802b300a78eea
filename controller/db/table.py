"""What every table is made from."""

from peewee import Model


class Table(Model):
    """A table. Bound to no database: a session says where a query runs."""

    class Meta:
        legacy_table_names = False
