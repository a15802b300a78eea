"""Charging and refunding quotas: the only writer of the table ``quota``.

Called inside the transaction that makes or removes the thing, so that usage and things can never
differ: `used` equals the number of the living, and a rollback gives all back. One statement
charges any number of names.

Which there are is declared with their nouns (protos/nouns). One whose name has "_per_" in it is a
bound on each group (VPC, table) and never charged.

A quota without an own maximum has the configured default, read at each charge: raising the
default raises all.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from peewee import Case, Update, fn

from controller.kernel.call import Call
from controller.kernel.database import Session, Transaction
from controller.kernel.prepared import prepared
from controller.kernel.rows import columns
from controller.kernel.table import Clause
from controller.tables.identity import Account, Quota
from protos.errors import CloudError, Kind
from protos.nouns import QUOTAS

CHARGED = tuple(name for name, (quota, _) in QUOTAS.items() if quota.charged)
FOLLOWERS = {
    name: tuple(other for other, (quota, _) in QUOTAS.items() if quota.follows == name)
    for name in QUOTAS
}


class QuotaRow(NamedTuple):
    name: str
    maximum: int | None
    used: int


class Quotas:
    """``configured``: the operator's defaults, where they are not the declared ones."""

    def __init__(self, configured: Mapping[str, int]):
        own = {name: configured.get(name, quota.default) for name, (quota, _) in QUOTAS.items()}
        self._defaults = own | {
            name: own[quota.follows]
            for name, (quota, _) in QUOTAS.items()
            if quota.follows and name not in configured
        }

    def make(self, tx: Transaction, account_id: str) -> None:
        """The rows of a new account."""
        tx.insert(Quota, [{"account_id": account_id, "name": name} for name in QUOTAS])

    def add_missing(self, tx: Transaction) -> None:
        """The rows of quotas that were declared since the accounts were made."""
        there = set(tx.tuples(Quota.select(Quota.account_id, Quota.name)))
        missing = [
            {"account_id": account_id, "name": name}
            for (account_id,) in tx.tuples(Account.select(Account.account_id))
            for name in QUOTAS
            if (account_id, name) not in there
        ]
        if missing:
            tx.insert(Quota, missing)

    def charge(self, tx: Transaction, account_id: str, amounts: Mapping[str, int]) -> None:
        """Adds to what is used. Raises QUOTA (nothing of the transaction may then be kept)."""
        amounts = {name: amount for name, amount in amounts.items() if amount}
        if not amounts:
            return
        bounds = {f"{name}_default": self._defaults[name] for name in amounts}
        charge = _charge_query(tuple(amounts))(account_id=account_id, **amounts, **bounds)
        if tx.advance_by(charge) != len(amounts):
            self._refuse(tx, account_id, amounts)

    def refund(self, tx: Transaction, account_id: str, amounts: Mapping[str, int]) -> None:
        """Takes from what is used. Raises BUG where more would be given back than was charged."""
        amounts = {name: amount for name, amount in amounts.items() if amount}
        if not amounts:
            return
        refund = _refund_query(tuple(amounts))(account_id=account_id, **amounts)
        if tx.advance_by(refund) != len(amounts):
            raise CloudError(
                Kind.BUG,
                "An internal error has occurred.",
                because=f"refund of {dict(amounts)} to {account_id} exceeds what it was charged",
            )

    def room(self, session: Session, account_id: str) -> dict[str, int]:
        """What may still be charged, by name; never below 0."""
        return {
            quota.name: max(0, self._maximum(quota) - quota.used)
            for quota in self._rows(session, account_id)
            if quota.name in CHARGED
        }

    def maximum(self, session: Session, account_id: str, name: str) -> int:
        own = session.value(
            Quota.select(Quota.maximum).where(
                (Quota.account_id == account_id) & (Quota.name == name)
            ),
            int,
        )
        return self._defaults[name] if own is None else own

    def list(self, session: Session, account_id: str) -> Sequence[tuple[str, int, int]]:
        """(name, maximum, used) of every quota. Raises NOT_FOUND for an unknown account."""
        _check_account(session, account_id)
        found = {quota.name: quota for quota in self._rows(session, account_id)}
        return [
            (name, self._maximum(found[name]), found[name].used) for name in QUOTAS if name in found
        ]

    def set(self, tx: Transaction, account_id: str, name: str, maximum: int) -> int:
        """Gives an account its own maximum; answers what is used.

        Less than that refuses only what comes. As in EC2 ("Amazon VPC quotas"), internet gateways
        follow the number of VPCs: each has at most one.
        """
        if name not in QUOTAS:
            raise CloudError(
                Kind.INVALID, f"There is no quota '{name}': {', '.join(QUOTAS)}", noun="quota"
            )
        if maximum < 0:
            raise CloudError(Kind.INVALID, "A quota cannot be less than 0", noun="quota")
        _check_account(tx, account_id)
        rows = [
            {"account_id": account_id, "name": each, "maximum": maximum}
            for each in (name, *FOLLOWERS[name])
        ]
        tx.insert(Quota, rows, on_conflict=("account_id", "name"), update=("maximum",))
        mine = (Quota.account_id == account_id) & (Quota.name == name)
        return tx.value(Quota.select(Quota.used).where(mine), int) or 0

    def _rows(self, session: Session, account_id: str) -> Sequence[QuotaRow]:
        return session.rows(
            Quota.select(*columns(QuotaRow, Quota)).where(Quota.account_id == account_id), QuotaRow
        )

    def _maximum(self, quota: QuotaRow) -> int:
        return self._defaults[quota.name] if quota.maximum is None else quota.maximum

    def _refuse(self, tx: Transaction, account_id: str, amounts: Mapping[str, int]) -> None:
        """Says which one was short; instances come first, as EC2 names them first."""
        found = {quota.name: quota for quota in self._rows(tx, account_id)}
        for name in sorted(amounts, key=CHARGED.index):
            quota, amount = found.get(name), amounts[name]
            if quota is not None and quota.used + amount > self._maximum(quota):
                declared, noun = QUOTAS[name]
                message = declared.refusal(self._maximum(quota), quota.used, amount)
                raise exceeded(tx.call, name, message, noun.name)
        raise CloudError(
            Kind.BUG, "An internal error has occurred.", because=f"{account_id} has lost quota rows"
        )


@lru_cache(maxsize=128)
def _charge_query(names: tuple[str, ...]) -> prepared:
    """One guarded update of these quotas: as many rows as names, where all have room."""

    def build(account_id: object, **given: object) -> Update:
        room = _any(
            (Quota.name == name)
            & (Quota.used + given[name] <= fn.COALESCE(Quota.maximum, given[f"{name}_default"]))
            for name in names
        )
        step = Case(Quota.name, [(name, given[name]) for name in names], 0)
        return Quota.update({Quota.used: Quota.used + step}).where(
            Quota.account_id == account_id, room
        )

    return prepared(build, ("account_id", *names, *(f"{name}_default" for name in names)))


@lru_cache(maxsize=128)
def _refund_query(names: tuple[str, ...]) -> prepared:
    """One guarded update of these quotas: as many rows as names, where all were charged."""

    def build(account_id: object, **given: object) -> Update:
        charged = _any((Quota.name == name) & (Quota.used >= given[name]) for name in names)
        step = Case(Quota.name, [(name, given[name]) for name in names], 0)
        return Quota.update({Quota.used: Quota.used - step}).where(
            Quota.account_id == account_id, charged
        )

    return prepared(build, ("account_id", *names))


def _any(conditions: Iterable[Clause]) -> Clause:
    first, *others = conditions
    for condition in others:
        first = first | condition
    return first


def _check_account(session: Session, account_id: str) -> None:
    if not session.exists(
        Account.select(Account.account_id).where(Account.account_id == account_id)
    ):
        raise CloudError(
            Kind.NOT_FOUND, f"There is no account '{account_id}'", noun="account", id=account_id
        )


def exceeded(call: Call, name: str, message: str, noun: str) -> CloudError:
    """The refusal of more than the quota ``name`` allows, in EC2's words; the operator reads also
    how his own is raised, as only he can."""
    if call.operator:
        message += f" (`pileus quota set {name} NUMBER` raises it.)"
    return CloudError(Kind.QUOTA, message, noun=noun)
