"""Key pairs: made, imported, removed. The only writer of the table ``key_pair``.

Called by the service (rpc). A name is unique in its account: the unique index decides who is first,
and the losers of a race are run again by the middleware and then find the name taken. Sources: EC2
API Reference, CreateKeyPair ("up to 255 ASCII characters"), ImportKeyPair, DeleteKeyPair (one that
is not there is no error).
"""

import random
from collections.abc import Mapping
from typing import NamedTuple

from controller.compute.key_pairs.formats import ImportedKey
from controller.identity.quotas.rules import Quotas
from controller.identity.tags import rules as tags
from controller.kernel.database import Session, Transaction
from controller.kernel.lookup import not_found
from controller.kernel.owned import Owned
from controller.kernel.rows import columns
from controller.tables.compute import KeyPair
from protos.errors import CloudError, Kind, missing_parameter
from protos.ids import is_well_formed, new_id

OWNED = Owned(
    "key-pair",
    KeyPair.key_pair_id,
    KeyPair.account_id,
    facts={"ec2:KeyPairName": KeyPair.key_name, "ec2:KeyPairType": KeyPair.key_type},
    arn_name=KeyPair.key_name,
)
NAME_CHARS_MAX = 255
KEY_TYPES = ("rsa", "ed25519")
KEY_FORMATS = ("pem", "ppk")


class Pair(NamedTuple):
    key_pair_id: str
    key_name: str


def add(
    tx: Transaction,
    rng: random.Random,
    quotas: Quotas,
    name: str,
    key: ImportedKey,
    key_tags: Mapping[str, str],
) -> str:
    """Keeps a public key under a name; answers the pair's id. Raises EXISTS, QUOTA."""
    account_id = tx.call.account_id
    check_free(tx, account_id, name)
    quotas.charge(tx, account_id, {"key_pairs": 1})
    key_pair_id = new_id("key-pair", rng)
    tx.insert(
        KeyPair,
        [
            {
                "key_pair_id": key_pair_id,
                "account_id": account_id,
                "key_name": name,
                "key_type": key.key_type,
                "fingerprint": key.fingerprint,
                "public_key": f"{key.public_key} {name}",
                "created_ms": tx.call.now_ms,
            }
        ],
    )
    tags.add(tx, account_id, [("key-pair", [key_pair_id], key_tags)])
    return key_pair_id


def check_free(session: Session, account_id: str, name: str) -> None:
    """Raises EXISTS where the account has a pair of this name."""
    query = KeyPair.select(KeyPair.key_pair_id).where(
        KeyPair.account_id == account_id, KeyPair.key_name == name
    )
    if taken := session.value(query, str):
        raise CloudError(
            Kind.EXISTS, f"The keypair '{name}' already exists.", noun="key-pair", id=taken
        )


def delete(tx: Transaction, quotas: Quotas, key_pair_id: str, name: str) -> str:
    """Forgets a pair; answers its id, "" where there was none.

    Instances keep their copies of the public key.
    """
    if not key_pair_id and not name:
        raise missing_parameter("KeyName or KeyPairId")
    mine = [KeyPair.account_id == tx.call.account_id]
    if key_pair_id:
        if not is_well_formed(key_pair_id, "key-pair"):
            raise not_found("key-pair", key_pair_id)
        mine.append(KeyPair.key_pair_id == key_pair_id)
    if name:
        mine.append(KeyPair.key_name == name)
    found = tx.one(KeyPair.select(*columns(Pair, KeyPair)).where(*mine), Pair)
    if found is None:
        return ""
    tx.authorize("key-pair", [found.key_name])
    tx.delete(KeyPair, KeyPair.key_pair_id == found.key_pair_id)
    tags.remove_all(tx, [found.key_pair_id])
    quotas.refund(tx, tx.call.account_id, {"key_pairs": 1})
    return found.key_pair_id


def check_name(name: str) -> None:
    if not name:
        raise missing_parameter("KeyName")
    if len(name) > NAME_CHARS_MAX or not name.isascii() or not name.isprintable():
        raise CloudError(
            Kind.INVALID,
            f"Value for parameter keyName is invalid. At most {NAME_CHARS_MAX} printable ASCII "
            "characters.",
            noun="parameter",
        )
    if name != name.strip():
        raise CloudError(
            Kind.INVALID,
            f"Value ({name}) for parameter keyName is invalid. "
            "Names cannot begin or end with a space.",
            noun="parameter",
        )


def check_choice(value: str, choices: tuple[str, ...], parameter: str) -> str:
    """The value, or the first choice for "". Raises INVALID for any other."""
    if not value:
        return choices[0]
    if value not in choices:
        raise CloudError(
            Kind.INVALID,
            f"Value ({value}) for parameter {parameter} is invalid. "
            f"Valid values: {', '.join(choices)}.",
            noun="parameter",
        )
    return value
