"""A page of what an account has of a noun, with tags: what most describes begin with."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Protocol

from controller.identity.tags import rules as tags
from controller.identity.tags.filters import tag_filters
from controller.kernel.database import Session
from controller.kernel.filters import Condition, page_of, where
from controller.kernel.lookup import select_page
from controller.kernel.owned import Owned
from controller.kernel.rows import Row, columns
from controller.kernel.table import Column, Select
from protos.cloud.v1 import common_pb2


class Request(Protocol):
    """What a Describe's message says of its page (protos)."""

    @property
    def filters(self) -> Sequence[common_pb2.Filter]: ...
    @property
    def page(self) -> common_pb2.Page: ...


def owned_page(
    session: Session,
    account_id: str,
    owned: Owned,
    row: type[Row],
    filters: Mapping[str, Condition],
    asked: Sequence[str],
    request: Request,
    *,
    query: Select | None = None,
    largest: int = 1000,
) -> tuple[list[Row], str, dict[str, list[common_pb2.Tag]]]:
    """(rows, the next page's token, tags by id). ``request`` has filters and a page; ``asked`` are
    the ids that it names; ``filters`` those of the noun, beside which there are those by tags;
    ``query`` what makes a ``row``, the id first, where that is more than its own columns. Raises
    INVALID, MALFORMED_ID, NOT_FOUND."""
    if query is None:
        query = owned.table.select(*columns(row, owned.table))
    rows, token = select_page(
        session,
        query.where(*owned.of(account_id)),
        owned.key,
        owned.name,
        asked,
        where({**filters, **tag_filters(owned.key)}, request.filters),
        page_of(request.page, largest=largest, explicit_ids=asked),
        row=row,
    )
    return rows, token, tags.tags_of(session, [str(found[0]) for found in rows])


def by_owner(
    session: Session, query: Select, row: type[Row], owner: Column, owner_ids: Sequence[str]
) -> dict[str, list[Row]]:
    """The rows of a query that belong to each of the owners, in one statement."""
    found: dict[str, list[Row]] = defaultdict(list)
    if owner_ids:
        for one in session.rows(query.where(owner.in_(list(owner_ids))), row):
            found[getattr(one, owner.column_name)].append(one)
    return found
