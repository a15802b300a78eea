"""Finding what a caller named by id: well formed, his own, there. The same for every noun.

Called by the rules and describes of all nouns, which are declared in protos/nouns. EC2's rules
(docs/ec2.md, 28 and 40): a malformed id is its own error; an id that names nothing is an error also
beside filters; what belongs to another account is not there.
"""

from collections.abc import Container, Iterable, Sequence
from typing import cast

from controller.kernel.database import Session
from controller.kernel.filters import Page
from controller.kernel.rows import Row
from controller.kernel.table import Clause, Select
from protos import ids
from protos.errors import CloudError, Kind, missing_parameter
from protos.nouns import NOUNS

MAX_IDS = 1000


def not_found(noun: str, *identifiers: str) -> CloudError:
    """The refusal that names all of them: what a caller named, in the order of naming."""
    message = NOUNS[noun].absence(identifiers)
    return CloudError(Kind.NOT_FOUND, message, noun=noun, id=identifiers[0])


def check_there(noun: str, asked: Iterable[str], there: Container[str]) -> None:
    """Raises NOT_FOUND that names all of ``asked`` that are not ``there``."""
    if missing := [one for one in dict.fromkeys(asked) if one not in there]:
        raise not_found(noun, *missing)


def check_ids(noun: str, identifiers: Sequence[str]) -> None:
    """Raises MALFORMED_ID for the first that cannot be an id of the noun, INVALID for too many.
    Where EC2 has no such error of the noun, who looks the id up will not find it."""
    if len(identifiers) > MAX_IDS:
        raise CloudError(
            Kind.INVALID, f"At most {MAX_IDS} IDs can be given at once.", noun="parameter"
        )
    if NOUNS[noun].malformed is None:
        return
    for identifier in identifiers:
        if not ids.is_well_formed(identifier, noun):
            raise CloudError(
                Kind.MALFORMED_ID,
                f'Invalid id: "{identifier}" (expecting "{NOUNS[noun].prefix}-...")',
                noun=noun,
                id=identifier,
            )


def select_page(
    session: Session,
    query: Select,
    key: Clause,
    noun: str,
    identifiers: Sequence[str],
    conditions: Sequence[Clause],
    page: Page,
    *,
    row: type[Row],
    absent: str = "",
    known: Select | None = None,
) -> tuple[list[Row], str]:
    """A Describe's rows and the token of its next page.

    ``query`` selects the caller's rows of the noun, each a ``row``, its first column ``key``;
    ``identifiers`` those asked for, or none; ``conditions`` the filters; ``absent`` what is not
    there, where that is another noun; ``known`` the rows that can be named, ``key`` alone, where
    that is more than ``query`` shows. Raises MALFORMED_ID, INVALID for another list's token, and
    NOT_FOUND for ids that name nothing, whatever the filters say.
    """
    page.expect(noun)
    check_ids(noun, identifiers)
    wanted = query.where(key.in_(list(identifiers))) if identifiers else query
    wanted_page = page.of(wanted.where(*conditions) if conditions else wanted, key)
    rows = session.rows(wanted_page, row)
    if identifiers and known is not None:
        wanted = known.where(key.in_(list(identifiers)))
    check_found(session, wanted, absent or noun, identifiers, {found[0] for found in rows})
    return page.cut(rows, lambda found: cast(str, found[0]))


def find_one(
    session: Session,
    query: Select,
    key: Clause,
    noun: str,
    identifier: str,
    parameter: str,
    *,
    row: type[Row],
) -> Row:
    """The row of this id, a value of ``key``, among the caller's rows of the noun, which ``query``
    selects, and asks whether he may have done to it what the call does. ``parameter``: what names
    it in a request. Raises INVALID where nothing does, MALFORMED_ID, NOT_FOUND, DENIED."""
    if not identifier:
        raise missing_parameter(parameter)
    check_ids(noun, [identifier])
    found = session.one(query.where(key == identifier), row)
    if found is None:
        raise not_found(noun, identifier)
    session.authorize(noun, [identifier])
    return found


def check_found(
    session: Session, wanted: Select, noun: str, asked: Sequence[str], found: set[str]
) -> None:
    """Raises NOT_FOUND for those of ``asked`` that ``wanted``, without filters, has not."""
    if any(identifier not in found for identifier in asked):
        check_there(noun, asked, set(session.column(wanted, str)))
