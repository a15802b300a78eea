"""Whose the rows of a noun are: what the controller adds to its declaration in ``protos/nouns``.

Declared with the noun's rules and registered in ``app.OWNED``, which tags, the audit of quotas and
the guard are given. Pages of a noun: ``identity/pages``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.kernel.database import Session
from controller.kernel.lookup import find_one
from controller.kernel.rows import Row, columns
from controller.kernel.table import Clause, Column, Table
from protos.noun import Noun
from protos.nouns import NOUNS

Fact = Column | tuple[str, Column]


@dataclass(frozen=True)
class Owned:
    """``key``: the column of its ids; ``owner``: that of the account; ``there``: which rows can be
    found, where some are kept for a while after their resource is gone; ``sums``: what a quota of
    the noun counts where that is not such rows.

    ``facts``: the columns of its condition keys in IAM (Service Authorization Reference, "Condition
    keys for Amazon EC2"); a pair is a reference, the noun whose ARN is the value. ``arn_name``: the
    column of what its ARN names it by, where not by its id.
    """

    name: str
    key: Column
    owner: Column
    there: Clause | None = None
    sums: Mapping[str, Clause] = field(default_factory=dict)
    facts: Mapping[str, Fact] = field(default_factory=dict)
    arn_name: Column | None = None

    @property
    def noun(self) -> Noun:
        return NOUNS[self.name]

    @property
    def table(self) -> type[Table]:
        model: type[Table] = self.key.model
        return model

    @property
    def conditions(self) -> tuple[Clause, ...]:
        return () if self.there is None else (self.there,)

    def of(self, account_id: str) -> tuple[Clause, ...]:
        """The conditions for the account's rows."""
        return (self.owner == account_id, *self.conditions)

    def find(self, session: Session, account_id: str, identifier: str, row: type[Row]) -> Row:
        """The account's row of this id. Raises INVALID (none named), MALFORMED_ID, NOT_FOUND,
        DENIED."""
        own = self.table.select(*columns(row, self.table)).where(*self.of(account_id))
        parameter = f"{self.noun.camel}Id"
        return find_one(session, own, self.key, self.name, identifier, parameter, row=row)
