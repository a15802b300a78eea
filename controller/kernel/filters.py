"""EC2's filters and pages as SQL, for every Describe.

A noun declares its filters as a table, name -> what it compares:

    FILTERS = {
        "vpc-id": column(Subnet.vpc_id),
        "default-for-az": boolean(Subnet.default_for_az),
        "state": constant("available"),
        "instance.group-id": any_of(NicGroup.select(SQL("1")).where(…), NicGroup.group_id),
        "instance-state-name": custom(state.predicate),           a function: values -> expression
        **tag_filters(Subnet.subnet_id),                           tag:KEY, tag-key, tag-value
    }
    query.where(*where(FILTERS, request.filters))

EC2's rules (docs/ec2.md, traps 38 and 39): values are ORed, filters ANDed; names and values are
case-sensitive; ``*`` stands for any letters, ``?`` for one, a backslash takes the next letter
literally; a filter without values matches nothing; an unknown name is refused. ``page_of`` and
``Page`` are the paging by key (traps 36, 37).
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar, cast

from peewee import SQL, Expression, NodeList, Value, fn

from controller.kernel.table import Clause, Column, Select
from protos.cloud.v1 import common_pb2
from protos.errors import CloudError, Kind
from protos.ids import noun_of

T = TypeVar("T")
Condition = Callable[[Sequence[str]], Clause]  # values -> an SQL expression
# EC2 User Guide, "Filtering resources"; the values are counted over a whole call, as the refusal
# of EC2 says: "The maximum number of filter values specified on a single call is 200".
MAX_FILTERS, MAX_VALUES, MAX_VALUE_CHARS = 50, 200, 255
ALL_ROWS = 2**31 - 1  # a limit that is none
NOTHING, EVERYTHING = SQL("1 = 0"), SQL("1 = 1")
_NUMBER = re.compile(r"-?[0-9]{1,18}")  # what fits a column


def where(table: Mapping[str, Condition], filters: Sequence[common_pb2.Filter]) -> list[Clause]:
    """The conditions that all must hold. Raises INVALID for a name that the table has not, and for
    more than a call may have."""
    check_limits(filters)
    return [_condition(table, one.name)(list(one.values)) for one in filters]


def check_limits(filters: Sequence[common_pb2.Filter]) -> None:
    """Raises INVALID (filter-limit) for more filters, values or characters of a value than EC2
    takes in one call."""
    values = [value for one in filters for value in one.values]
    if len(filters) > MAX_FILTERS:
        raise _too_many(f"filters specified on a single call is {MAX_FILTERS}")
    if len(values) > MAX_VALUES:
        raise _too_many(f"filter values specified on a single call is {MAX_VALUES}")
    if any(len(value) > MAX_VALUE_CHARS for value in values):
        raise _too_many(f"characters of a filter value is {MAX_VALUE_CHARS}")


def _too_many(what: str) -> CloudError:
    message = f"The maximum number of {what}"
    return CloudError(Kind.INVALID, message, noun="parameter", reason="filter-limit")


def _condition(table: Mapping[str, Condition], name: str) -> Condition:
    known = table.get(name)
    if known is None and name.startswith("tag:") and "tag:" in table:
        of_key = cast(Callable[[str], Condition], table["tag:"])  # of_key's
        known = of_key(name.removeprefix("tag:"))
    if known is None or name == "tag:":
        raise CloudError(Kind.INVALID, f"The filter '{name}' is invalid", noun="parameter", id=name)
    return lambda values: known(values) if values else NOTHING


# --- what a filter may compare --------------------------------------------------------------------


def column(field: Clause) -> Condition:
    """A text column."""
    return lambda values: either([matches(field, value) for value in values])


def integer(field: Clause) -> Condition:
    """A number, compared as the text that the answer shows."""

    def condition(values: Sequence[str]) -> Clause:
        numbers = [int(value) for value in values if _NUMBER.fullmatch(value)]
        return field.in_(numbers) if numbers else NOTHING

    return condition


def boolean(field: Clause) -> Condition:
    """A flag, "true" or "false"; any other value matches nothing."""

    def condition(values: Sequence[str]) -> Clause:
        wanted = {value for value in values if value in ("true", "false")}
        if len(wanted) == 2:
            return EVERYTHING
        return NOTHING if not wanted else field == (wanted == {"true"})

    return condition


def constant(shown: str) -> Condition:
    """What every resource of the noun answers alike: "hvm", "available"."""
    return lambda values: EVERYTHING if any(like(value, shown) for value in values) else NOTHING


def choice(words: Mapping[str, Clause]) -> Condition:
    """A derived word: for each word that the answer may show, the expression that holds for such
    rows."""

    def condition(values: Sequence[str]) -> Clause:
        return either([e for word, e in words.items() if any(like(v, word) for v in values)])

    return condition


def timestamp(field: Column) -> Condition:
    """A time of milliseconds, asked for as answers show it: "2026-01-31T12:00:00.000Z" or a
    beginning, "2026-01-3*".

    No function that both databases have prints a time, so the text becomes a range of numbers. Wild
    cards elsewhere than at the end are refused.
    """
    return lambda values: either([_time_range(field, value) for value in values])


def any_of(related: Select, field: Clause) -> Condition:
    """Any of the related rows: ``related`` is a correlated SELECT, which gets the condition on
    ``field`` added."""
    return lambda values: fn.EXISTS(
        related.where(either([matches(field, value) for value in values]))
    )


def exists_where(related: Select, condition: Condition) -> Condition:
    """As ``any_of``, with any other condition on the related rows (boolean, integer ...)."""
    return lambda values: fn.EXISTS(related.where(condition(values)))


def of_key(conditions: Callable[[str], Condition]) -> Condition:
    """For the filters ``tag:KEY``, which a table has as "tag:": KEY -> what that compares."""
    return cast(Condition, conditions)


def custom(condition: Condition) -> Condition:
    """A function of the noun's own: values -> expression."""
    return condition


# --- times ----------------------------------------------------------------------------------------

_EPOCH = datetime(1970, 1, 1)
_LAST_MS = 253402300799999  # the end of the year 9999


def _time_range(field: Column, value: str) -> Clause:
    letters = list(_letters(value))
    ends_wild = bool(letters) and letters[-1] == ("*", True)
    text = "".join(letter for letter, _ in (letters[:-1] if ends_wild else letters))
    if any(wild for _, wild in (letters[:-1] if ends_wild else letters)):
        raise CloudError(
            Kind.INVALID,
            f"Value ({value}) for a time is invalid: a wild card may stand at its end only.",
            noun="parameter",
        )
    first = _first_ms(lambda shown: shown >= text)
    beyond = _first_ms(lambda shown: shown > text and not (ends_wild and shown.startswith(text)))
    return (field >= first) & (field < beyond)


def _first_ms(reached: Callable[[str], bool]) -> int:
    """The first millisecond whose text has ``reached`` (texts of times sort as times do)."""
    low, high = 0, _LAST_MS + 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(shown_time(middle)) else (middle + 1, high)
    return low


def shown_time(ms: int) -> str:
    """A time as EC2 writes it: "2026-01-31T12:00:00.000Z"."""
    return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds") + "Z"


# --- wild cards -----------------------------------------------------------------------------------


def matches(field: Clause, value: str) -> Clause:
    """``field`` equals the value or fits its wild cards, as SQL that both databases read alike."""
    text, wild = pattern(value)
    if not wild:
        return field == text
    return NodeList((field, SQL("LIKE"), Value(text), SQL("ESCAPE '!'")), parens=True)


def like(value: str, shown: str) -> bool:
    """The same rule in Python, for words that no column holds."""
    rest: set[int] = {0}  # positions in `shown` that may be reached so far
    for letter, wild in _letters(value):
        if wild and letter == "*":
            rest = set(range(min(rest), len(shown) + 1)) if rest else rest
        else:
            rest = {at + 1 for at in rest if at < len(shown) and (wild or shown[at] == letter)}
    return len(shown) in rest


def _letters(value: str) -> Iterator[tuple[str, bool]]:
    """Each letter with whether it is a wild card."""
    at = 0
    while at < len(value):
        if value[at] == "\\" and at + 1 < len(value):
            yield value[at + 1], False
            at += 2
        else:
            yield value[at], value[at] in "*?"
            at += 1


def pattern(value: str) -> tuple[str, bool]:
    """LIKE's pattern with "!" as its escape and True, or the plain value and False."""
    letters = list(_letters(value))
    if not any(wild for _, wild in letters):
        return "".join(letter for letter, _ in letters), False
    wild_as = {"*": "%", "?": "_"}
    return "".join(
        wild_as[letter] if wild else ("!" + letter if letter in "!%_" else letter)
        for letter, wild in letters
    ), True


def either(conditions: Sequence[Clause]) -> Clause:
    """Any of the conditions, joined as a balanced tree: a chain of some hundred would be deeper
    than what peewee can write and SQLite reads."""
    if not conditions:
        return NOTHING
    if len(conditions) == 1:
        return conditions[0]
    half = len(conditions) // 2
    return Expression(either(conditions[:half]), "OR", either(conditions[half:]))


# --- pages ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Page:
    """A page by key: ``limit`` rows with key > ``after``. limit None: all of them."""

    after: str
    limit: int | None

    @property
    def limit_of_query(self) -> int:
        """For a prepared query: one row more than the page, to know whether there is a next."""
        return ALL_ROWS if self.limit is None else self.limit + 1

    def of(self, query: Select, key: Clause) -> Select:
        """The query for this page, ordered by key, with one row more than the page to know whether
        there is a next."""
        if self.after:
            query = query.where(key > self.after)
        query = query.order_by(key)
        return query if self.limit is None else query.limit(self.limit + 1)

    def expect(self, noun: str) -> None:
        """Raises INVALID for a token of another list: its keys are ids of ``noun``, or, for "", no
        ids. Its rows would be some of this one's, and the rest be missed."""
        if self.after and (noun_of(self.after) or "") != noun:
            raise _bad_token()

    def cut(self, rows: list[T], key: Callable[[T], str]) -> tuple[list[T], str]:
        """The page's rows and the token of the next page ("" on the last)."""
        if self.limit is None or len(rows) <= self.limit:
            return rows, ""
        rows = rows[: self.limit]
        return rows, _token(key(rows[-1]))


def page_of(
    asked: common_pb2.Page,
    *,
    smallest: int = 5,
    largest: int = 1000,
    explicit_ids: Sequence[str] = (),
) -> Page:
    """What page was asked for. Raises INVALID for a size out of bounds, a size together with ids, a
    foreign token."""
    limit = None
    if asked.HasField("max_results"):
        limit = asked.max_results
        if explicit_ids:
            raise CloudError(
                Kind.INVALID,
                "The parameter MaxResults cannot be used with the parameter of resource IDs",
                reason="parameter-combination",
            )
        if limit < smallest:
            raise CloudError(
                Kind.INVALID,
                f"Value ( {limit} ) for parameter maxResults is invalid. Expecting a value greater "
                f"than or equal to {smallest}.",
                noun="parameter",
                id="MaxResults",
            )
        limit = min(limit, largest)
    return Page(_key(asked.next_token) if asked.next_token else "", limit)


def _token(key: str) -> str:
    return base64.urlsafe_b64encode(b"1" + key.encode()).decode()


def _key(token: str) -> str:
    try:
        content = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError, ValueError) as unreadable:
        raise _bad_token() from unreadable
    if not content.startswith("1") or len(content) > 512:
        raise _bad_token()
    return content[1:]


def _bad_token() -> CloudError:
    return CloudError(
        Kind.INVALID, "The token supplied for parameter nextToken is invalid.", reason="next-token"
    )
