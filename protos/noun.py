"""What a noun is declared with: its ids, EC2's words and codes for it, its tags, its quota.

The declarations are in ``protos/nouns``. EC2 is regular in most of them, and a declaration says
only where it is not:

    name              "route-table": EC2's resource type, which is also that of its tags
    not found         InvalidRouteTableID.NotFound, "The routeTable ID 'rtb-…' does not exist"
    malformed         InvalidRouteTableId.Malformed
    wrong state       IncorrectState; DependencyViolation where it is in use
    quota exceeded    RouteTableLimitExceeded, "The maximum number of route tables (5) has …"
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from protos.errors import Kind

BY_RULE = ""
# Their code is chosen by the noun alone.
KINDS_WITHOUT_REASON = frozenset({Kind.MALFORMED_ID, Kind.QUOTA, Kind.NO_CAPACITY})


@dataclass(frozen=True)
class Quota:
    """How much an account may have. ``name``: as the operator sets it, in the plural.

    ``default``: where he says nothing; ``follows``: the quota whose maximum it has then, in place
    of a default. ``words``: EC2's for the refusal, of {maximum}, {used}, {amount} and {total},
    where they are not the rule's.
    """

    name: str
    default: int = 0
    follows: str = ""
    words: str = BY_RULE

    @property
    def charged(self) -> bool:
        """False of a bound on each of something, as rules_per_group: what there is, is counted."""
        return "_per_" not in self.name

    def refusal(self, maximum: int, used: int, amount: int) -> str:
        words = self.words or "The maximum number of {plural} ({maximum}) has been reached."
        plural = self.name.replace("_", " ")
        return words.format(
            plural=plural, maximum=maximum, used=used, amount=amount, total=used + amount
        )


@dataclass(frozen=True)
class Noun:
    """A thing that EC2 has a name for. ``name``: EC2's resource type where it has one.

    ``prefix``: of its ids, "" where it has none or none can be made here. ``named``: whether a call
    can name one by its id. ``shared``: whether accounts can let others use theirs; its ARN names no
    account then. ``not_found`` and ``malformed``: EC2's codes where they are not the rule's;
    ``malformed`` None where an id of no shape is merely not there. ``absent``: EC2's words
    for what is not there, one or several: {s} and {do} are "" and "does", or "s" and "do".
    ``codes``: all others that are not the rule's, by kind and reason.
    """

    name: str
    prefix: str = ""
    named: bool = True
    tagged: bool = False
    shared: bool = False
    not_found: str = BY_RULE
    malformed: str | None = BY_RULE
    absent: str = BY_RULE
    quotas: tuple[Quota, ...] = ()
    codes: Mapping[tuple[Kind, str], str] = field(default_factory=dict)

    @property
    def pascal(self) -> str:
        """RouteTable: as most codes have it."""
        return "".join(part.capitalize() for part in self.name.split("-"))

    @property
    def camel(self) -> str:
        """routeTable: as messages and parameters have it."""
        return self.pascal[:1].lower() + self.pascal[1:]

    def absence(self, identifiers: tuple[str, ...]) -> str:
        """That these are not there."""
        words = self.absent or f"The {self.camel} ID{{s}} '{{ids}}' {{do}} not exist"
        s, do = ("", "does") if len(identifiers) == 1 else ("s", "do")
        return words.format(ids=", ".join(identifiers), s=s, do=do)

    def code(self, kind: Kind, reason: str = "") -> str | None:
        """EC2's code for a failure about one of these; None where nothing can fail so."""
        if kind in KINDS_WITHOUT_REASON:
            reason = ""
        if own := self.codes.get((kind, reason)):
            return own
        if kind is Kind.QUOTA and self.quotas:
            return f"{self.pascal}LimitExceeded"
        if not self.named:
            return None
        match kind, reason:
            case Kind.NOT_FOUND, "":
                return self.not_found or f"Invalid{self.pascal}ID.NotFound"
            case Kind.MALFORMED_ID, "" if self.prefix and self.malformed is not None:
                return self.malformed or f"Invalid{self.pascal}Id.Malformed"
            case Kind.WRONG_STATE, "" if self.prefix:
                return "IncorrectState"
            case Kind.WRONG_STATE, "in-use" if self.prefix:
                return "DependencyViolation"
        return None
