"""The schema's kinds of columns: peewee's, which write themselves into a statement in one piece.

Imported by tables/schema alone. peewee puts ``"t1"."name"`` together from five nodes with a scope
around each, some 10 µs a column and two thirds of the time of a statement with forty of them.
Same text, same rules: only the name where a statement writes values, else with the table's alias.
"""

import peewee


class _InOnePiece(peewee.Field):
    def __sql__(self, ctx: peewee.Context) -> peewee.Context:
        if ctx.state.scope == peewee.SCOPE_VALUES:
            return ctx.literal(f'"{self.column_name}"')
        alias = ctx.alias_manager[self.model._meta.table]
        return ctx.literal(f'"{alias}"."{self.column_name}"')


class TextField(_InOnePiece, peewee.TextField):
    pass


class IntegerField(_InOnePiece, peewee.IntegerField):
    pass


class BigIntegerField(_InOnePiece, peewee.BigIntegerField):
    pass


class BooleanField(_InOnePiece, peewee.BooleanField):
    pass


class BlobField(_InOnePiece, peewee.BlobField):
    pass
