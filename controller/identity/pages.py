"""A page of what an account has of a noun, with tags: what most describes begin with."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from peewee import ModelSelect

from controller.identity.tags import rules as tags
from controller.identity.tags.filters import tag_filters
from controller.kernel.database import Session
from controller.kernel.filters import Condition, page_of, where
from controller.kernel.lookup import select_page
from controller.kernel.owned import Owned


def owned_page(
    session: Session,
    account_id: str,
    resource: Owned,
    filters: Mapping[str, Condition],
    asked: Sequence[str],
    request,
    *,
    query: ModelSelect | None = None,
    largest: int = 1000,
) -> tuple[list, str, dict]:
    """(rows, the next page's token, tags by id). ``request`` has filters and a page; ``asked`` are
    the ids that it names; ``filters`` those of the noun, beside which there are those by tags;
    ``query`` what to read of its rows, the id first, if not all. Raises INVALID, MALFORMED_ID,
    NOT_FOUND."""
    own = resource.of(account_id) if query is None else query.where(resource.owner == account_id)
    rows, token = select_page(
        session,
        own,
        resource.key,
        resource.name,
        asked,
        where({**filters, **tag_filters(resource.key)}, request.filters),
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
