"""Rows: a query has a NamedTuple for its rows, whose fields are the columns that it selects.

    class VpcRow(NamedTuple):
        vpc_id: str
        is_default: bool

    session.rows(Vpc.select(*columns(VpcRow, Vpc)).where(…), VpcRow)

It stands beside its query. That it is what the query selects is looked at whenever rows are read,
so neither can change alone. A flag is for asking only: SQLite answers 0 or 1.
"""

from collections import namedtuple
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar, cast

from controller.kernel.statements import Cursor
from controller.kernel.table import Column, Table

Row = TypeVar("Row", bound=NamedTuple)


def columns(row: type[NamedTuple], table: type[Table]) -> list[Column]:
    """The columns of the table that ``row`` names, in its order; what else it names is for the
    query to add, ``.alias()`` for ``.alias()``."""
    fields = table._meta.fields
    return [fields[name] for name in row._fields if name in fields]


def maker(cursor: Cursor, row: type[Any] | None) -> Callable[[tuple[Any, ...]], Any]:
    """What makes a row of one of the cursor's. Raises TypeError where the columns are others than
    those of ``row``."""
    names = tuple([column[0] for column in cursor.description])
    if row is None:
        return _anonymous(names)
    if names != row._fields:
        raise TypeError(f"{row.__name__} has the fields {row._fields}, its query selects {names}")
    return row._make  # type: ignore[no-any-return]  # a NamedTuple's


@lru_cache(maxsize=2048)
def _anonymous(names: tuple[str, ...]) -> Callable[[tuple[Any, ...]], Any]:
    row: Any = namedtuple("Row", list(names), rename=True)  # type: ignore[misc]  # known at run time
    return cast(Callable[[tuple[Any, ...]], Any], row._make)
