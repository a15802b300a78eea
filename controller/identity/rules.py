"""Accounts, their principals and access keys: the only writer of account, principal, access_key and
key_change.

Called by identity/rpc and by ``python -m controller init``. A secret leaves this module in two ways
only: in the answer that made it, and as a day's signing key.
"""

import random
import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from peewee import fn

from controller.identity import signing
from controller.identity.sealing import MasterKey
from controller.kernel.call import ITSELF, Call, Principal
from controller.kernel.database import Database, Session, Transaction
from controller.kernel.rows import columns
from controller.tables.identity import AccessKey, Account, KeyChange
from controller.tables.identity import Principal as PrincipalRow
from protos.errors import CloudError, Kind

ROOT = "root"
ACTIVE, INACTIVE = "Active", "Inactive"
KEYS_PER_ACCOUNT = 10
NAME_CHARS_MAX = 128
KEPT_CHANGES_MS = 24 * 3600 * 1000


@dataclass(frozen=True)
class NewKey:
    access_key_id: str
    secret_access_key: str
    account_id: str
    created_ms: int


class SealedRow(NamedTuple):
    access_key_id: str
    sealed_secret: bytes


class SecretRow(NamedTuple):
    sealed_secret: bytes
    principal_id: str
    arn: str
    account_id: str
    operator: bool


class Identity:
    """open_account(tx, account_id): what else a new account gets (quotas, default VPC), in the same
    transaction."""

    def __init__(
        self,
        db: Database,
        rng: random.Random,
        master_key: MasterKey,
        open_account: Callable[[Transaction, str], None],
    ):
        self._db, self._rng, self._master_key = db, rng, master_key
        self._open_account = open_account

    def create_account(
        self, call: Call, name: str, *, operator: bool = False
    ) -> tuple[str, NewKey]:
        """An account with a first key: (account_id, NewKey). Raises EXISTS where the name is
        taken."""
        _check_name(name)
        with self._db.write(call) as tx:
            if tx.exists(Account.select(Account.account_id).where(Account.name == name)):
                raise CloudError(
                    Kind.EXISTS, f"The account '{name}' already exists.", noun="account", id=name
                )
            account_id = str(self._rng.randrange(10**11, 10**12))
            row = {"account_id": account_id, "name": name, "operator": operator}
            tx.insert(Account, [{**row, "created_ms": call.now_ms}])
            tx.insert(PrincipalRow, [_root_of(account_id, call.now_ms)])
            self._open_account(tx, account_id)
            return account_id, self._add_key(tx, account_id, account_id)

    def operator_key(self, call: Call, name: str = "operator") -> NewKey | None:
        """The operator's account with a first key, or None where it is there already."""
        with self._db.read(call) as session:
            if session.exists(Account.select(Account.account_id).where(Account.operator)):
                return None
        return self.create_account(call, name, operator=True)[1]

    def create_key(self, call: Call, account_id: str) -> NewKey:
        """A key of the account's root."""
        with self._db.write(call) as tx:
            root = PrincipalRow.select(PrincipalRow.principal_id).where(
                PrincipalRow.account_id == account_id, PrincipalRow.kind == ROOT
            )
            principal_id = tx.value(root, str)
            if principal_id is None:
                raise no_account(account_id)
            own = AccessKey.principal_id == principal_id
            count = tx.value(AccessKey.select(fn.COUNT(AccessKey.access_key_id)).where(own), int)
            if (count or 0) >= KEYS_PER_ACCOUNT:
                raise CloudError(
                    Kind.QUOTA,
                    f"Cannot exceed quota for access keys per account: {KEYS_PER_ACCOUNT}",
                    noun="access-key",
                )
            return self._add_key(tx, principal_id, account_id)

    def set_status(self, call: Call, access_key_id: str, status: str) -> None:
        if status not in (ACTIVE, INACTIVE):
            raise CloudError(
                Kind.INVALID,
                f"Value ({status}) for parameter status is invalid. Use Active or Inactive.",
                noun="parameter",
            )
        with self._db.write(call) as tx:
            _require_key(tx, access_key_id)
            tx.advance(AccessKey, {"status": status}, AccessKey.access_key_id == access_key_id)
            _note_change(tx, access_key_id)

    def delete_key(self, call: Call, access_key_id: str) -> None:
        with self._db.write(call) as tx:
            _require_key(tx, access_key_id)
            tx.delete(AccessKey, AccessKey.access_key_id == access_key_id)
            _note_change(tx, access_key_id)

    def signing_key(
        self, access_key_id: str, date: str, region: str, service: str
    ) -> tuple[bytes, Principal, int]:
        """(key, Principal, change sequence). Raises NOT_FOUND for an unknown or inactive key."""
        with self._db.read(ITSELF) as session:
            secret, principal = self._active(session, access_key_id)
            sequence = newest_change(session)
        return signing.signing_key(secret, date, region, service), principal, sequence

    def verify_sigv2(
        self, access_key_id: str, algorithm: str, string_to_sign: bytes, signature: bytes
    ) -> Principal:
        """Whose signature this is. Raises NOT_FOUND for the key, UNAUTHENTICATED for the
        signature."""
        if algorithm not in signing.ALGORITHMS:
            raise CloudError(
                Kind.INVALID,
                f"Value ({algorithm}) for parameter SignatureMethod is invalid.",
                noun="parameter",
            )
        with self._db.read(ITSELF) as session:
            secret, principal = self._active(session, access_key_id)
        if not signing.sigv2_matches(secret, algorithm, string_to_sign, signature):
            raise CloudError(
                Kind.UNAUTHENTICATED,
                "The request signature does not match the one computed from the secret key.",
                noun="access-key",
                id=access_key_id,
            )
        return principal

    def seal_again(self, call: Call) -> int:
        """Seals with the newest master key what an older one sealed; answers how many secrets that
        were."""
        with self._db.write(call) as tx:
            old = [
                row
                for row in tx.rows(AccessKey.select(*columns(SealedRow, AccessKey)), SealedRow)
                if not self._master_key.is_newest(row.sealed_secret)
            ]
            for row in old:
                secret = self._master_key.open(row.sealed_secret, row.access_key_id)
                sealed = self._master_key.seal(secret, row.access_key_id)
                is_it = AccessKey.access_key_id == row.access_key_id
                tx.advance(AccessKey, {"sealed_secret": sealed}, is_it)
        return len(old)

    def forget_changes(self, call: Call) -> None:
        """Reconcile task: changes older than a day; a gateway that slept longer is told to forget
        everything."""
        before = call.now_ms - KEPT_CHANGES_MS
        with self._db.write(call) as tx:
            newest = newest_change(tx)
            tx.delete(KeyChange, KeyChange.changed_ms < before, KeyChange.sequence < newest)

    def _add_key(self, tx: Transaction, principal_id: str, account_id: str) -> NewKey:
        new = NewKey(
            "AKIA" + "".join(self._rng.choices(string.ascii_uppercase + "234567", k=16)),
            "".join(self._rng.choices(string.ascii_letters + string.digits, k=40)),
            account_id,
            tx.call.now_ms,
        )
        row = {
            "access_key_id": new.access_key_id,
            "principal_id": principal_id,
            "sealed_secret": self._master_key.seal(new.secret_access_key, new.access_key_id),
            "created_ms": new.created_ms,
        }
        tx.insert(AccessKey, [row])
        return new

    def _active(self, session: Session, access_key_id: str) -> tuple[str, Principal]:
        row = session.one(
            AccessKey.select(
                AccessKey.sealed_secret,
                PrincipalRow.principal_id,
                PrincipalRow.arn,
                Account.account_id,
                Account.operator,
            )
            .join(PrincipalRow, on=PrincipalRow.principal_id == AccessKey.principal_id)
            .join(Account, on=Account.account_id == PrincipalRow.account_id)
            .where(AccessKey.access_key_id == access_key_id, AccessKey.status == ACTIVE),
            SecretRow,
        )
        if row is None:
            raise _no_key(access_key_id)
        principal = Principal(row.principal_id, row.account_id, row.arn, bool(row.operator))
        return self._master_key.open(row.sealed_secret, access_key_id), principal


def newest_change(session: Session) -> int:
    return session.value(KeyChange.select(fn.MAX(KeyChange.sequence)), int) or 0


def changes_after(session: Session, sequence: int) -> tuple[int, list[str], bool]:
    """(newest sequence, access keys changed after ``sequence``, whether that is too old or unknown
    to tell)."""
    newest = newest_change(session)
    changed = session.column(
        KeyChange.select(KeyChange.access_key_id)
        .where(KeyChange.sequence > sequence)
        .order_by(KeyChange.sequence),
        str,
    )
    complete = sequence <= newest and len(changed) == newest - sequence
    return newest, changed if complete else [], not complete


def _root_of(account_id: str, now_ms: int) -> dict[str, object]:
    return {
        "principal_id": account_id,
        "account_id": account_id,
        "kind": ROOT,
        "arn": f"arn:aws:iam::{account_id}:root",
        "created_ms": now_ms,
    }


def _require_key(tx: Transaction, access_key_id: str) -> None:
    """Asks whether the caller may change keys of its account. Raises NOT_FOUND, DENIED."""
    owner = (
        AccessKey.select(PrincipalRow.account_id)
        .join(PrincipalRow, on=PrincipalRow.principal_id == AccessKey.principal_id)
        .where(AccessKey.access_key_id == access_key_id)
    )
    account_id = tx.value(owner, str)
    if account_id is None:
        raise _no_key(access_key_id)
    tx.authorize("account", [account_id])


def no_account(account_id: str) -> CloudError:
    return CloudError(
        Kind.NOT_FOUND, f"The account '{account_id}' does not exist", noun="account", id=account_id
    )


def _note_change(tx: Transaction, access_key_id: str) -> None:
    row = {"sequence": newest_change(tx) + 1, "access_key_id": access_key_id}
    tx.insert(KeyChange, [{**row, "changed_ms": tx.call.now_ms}])


def _no_key(access_key_id: str) -> CloudError:
    return CloudError(
        Kind.NOT_FOUND,
        f"The access key '{access_key_id}' does not exist",
        noun="access-key",
        id=access_key_id,
    )


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > NAME_CHARS_MAX or not name.isprintable():
        raise CloudError(
            Kind.INVALID,
            f"An account's name is 1 to {NAME_CHARS_MAX} printable characters.",
            noun="parameter",
        )
