"""Who may use another account's resource: everybody (its column ``public``), or accounts by name.

Called by the rules and describes of images and snapshots, which have a table of shares each
(image_share, snapshot_share). Accounts that are not here are taken too, as EC2 does.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Literal, Protocol

from controller.kernel.database import Session, Transaction
from controller.kernel.table import Clause, Column, Table
from controller.tables.identity import Account
from protos.errors import CloudError, Kind

SHARES_MAX = 1000
OPERATOR_ALIAS = "amazon"  # whose the images and snapshots are that the cloud offers to everybody


class Changes(Protocol):
    """What a Modify…Attribute's message says of it (protos)."""

    @property
    def add_account_ids(self) -> Iterable[str]: ...
    @property
    def remove_account_ids(self) -> Iterable[str]: ...
    @property
    def public(self) -> bool: ...
    @property
    def HasField(self) -> Callable[[Literal["public"]], bool]: ...


class Shares:
    """``key``: of the resource's table; ``shared``: the same column of the table of shares."""

    def __init__(self, key: Column, shared: Column, noun: str):
        self._key, self._shared, self._noun = key, shared, noun
        self._table = shared.model

    @property
    def with_all(self) -> Clause:
        """The condition for resources that everybody may use. Written out as a comparison, as
        ``with_account`` is as a list: so that an index leads to each, past all others'."""
        shared: Clause = self._key.model.public == True  # noqa: E712 - SQL's
        return shared

    def with_account(self, account_id: str | Column) -> Clause:
        """The condition for resources that are shared with this account by name."""
        named = self._table.select(self._shared).where(self._table.account_id == account_id)
        return self._key.in_(named)

    def shown_with(self, who: str, caller: str) -> Clause:
        """The condition for resources that a caller sees to be shared with ``who``: "all", "self"
        or an account. With whom others share theirs is for their owners to see only. Raises
        INVALID."""
        if who == "all":
            return self.with_all
        who = caller if who == "self" else who
        check_account_id(who)
        named = self.with_account(who)
        return named if who == caller else named & (self._key.model.account_id == caller)

    def of(self, session: Session, resource_id: str) -> list[str]:
        """The accounts that it is shared with by name."""
        query = self._table.select(self._table.account_id).where(self._shared == resource_id)
        return sorted(session.column(query, str))

    def change(self, tx: Transaction, resource_id: str, changes: Changes) -> None:
        """Raises INVALID for what is no account, QUOTA."""
        for account_id in (*changes.add_account_ids, *changes.remove_account_ids):
            check_account_id(account_id)
        if changes.HasField("public"):
            tx.advance(self._key.model, {"public": changes.public}, self._key == resource_id)
        name = self._shared.name
        if changes.remove_account_ids:
            gone = self._table.account_id.in_(list(changes.remove_account_ids))
            tx.delete(self._table, self._shared == resource_id, gone)
        rows = [
            {name: resource_id, "account_id": account_id} for account_id in changes.add_account_ids
        ]
        if rows:
            tx.insert(self._table, rows, on_conflict=(name, "account_id"))
            if len(self.of(tx, resource_id)) > SHARES_MAX:
                message = f"It can be shared with {SHARES_MAX} accounts."
                raise CloudError(Kind.QUOTA, message, noun=self._noun, id=resource_id)

    def reset(self, tx: Transaction, resource_id: str) -> None:
        """Ends all shares: the resource is its owner's alone again."""
        tx.delete(self._table, self._shared == resource_id)
        tx.advance(self._key.model, {"public": False}, self._key == resource_id)


def owned_by(
    owner: Column, owners: Sequence[str], caller: str, aliases: Collection[str] = ()
) -> Clause:
    """The condition for resources, joined with their owner's account, of any of these owners:
    account ids, "self", OPERATOR_ALIAS and ``aliases``, which are nobody here. Raises INVALID for
    anything else."""
    known = {"self", OPERATOR_ALIAS, *aliases}
    for one in owners:
        if one not in known:
            check_account_id(one)
    owned = owner.in_([caller if one == "self" else one for one in owners])
    return owned | offered(owner.model) if OPERATOR_ALIAS in owners else owned


def offered(resource: type[Table]) -> Clause:
    """The condition for resources, joined with their owner's account, that bear OPERATOR_ALIAS: the
    operator's public ones. What he keeps to himself is an account's like any other's."""
    public: Column = resource._meta.fields["public"]
    return Account.operator & public


def check_account_id(account_id: str) -> None:
    if not (len(account_id) == 12 and account_id.isascii() and account_id.isdigit()):
        raise CloudError(
            Kind.INVALID, f'Invalid user id: "{account_id}"', noun="parameter", id=account_id
        )
