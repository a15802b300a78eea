"""A page of an account's rows of one table, with their tags: what most describes begin with."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from controller.identity.tags import rules as tags
from controller.kernel.database import Session
from controller.kernel.filters import Condition, page_of, where
from controller.kernel.lookup import select_page
from controller.kernel.table import Table


def owned_page(
    session: Session,
    account_id: str,
    model: type[Table],
    noun: str,
    filters: Mapping[str, Condition],
    asked: Sequence[str],
    request,
    *,
    largest: int = 1000,
) -> tuple[list, str, dict]:
    """(rows, the next page's token, tags by id). ``request`` has filters and a page; ``asked`` are
    the ids that it names. Raises INVALID, MALFORMED_ID, NOT_FOUND."""
    rows, token = select_page(
        session,
        model.select().where(model.account_id == account_id),
        model._meta.primary_key,
        noun,
        asked,
        where(filters, request.filters),
        page_of(request.page, largest=largest, explicit_ids=asked),
    )
    return rows, token, tags.tags_of(session, [row[0] for row in rows])


def by_owner(session: Session, query, owner, owner_ids: Sequence[str]) -> dict[str, list]:
    """The rows of a query that belong to each of the owners, in one statement."""
    found: dict[str, list] = defaultdict(list)
    if owner_ids:
        for row in session.rows(query.where(owner.in_(list(owner_ids)))):
            found[getattr(row, owner.column_name)].append(row)
    return found
