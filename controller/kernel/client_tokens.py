"""Client tokens: a request that is sent again with the same token makes nothing more.

Called by the rules of what takes one (EC2 API Reference, "Ensuring idempotency"), inside their
transactions: a token is claimed with the row that it makes. It is its account's, for one noun, as
long as that row is there.
"""

import hashlib
from typing import NamedTuple

from google.protobuf.message import Message

from controller.kernel.database import Transaction
from controller.kernel.table import Column
from protos.errors import CloudError, Kind

TOKEN_CHARS_MAX = 64


class Earlier(NamedTuple):
    made: str
    request_digest: str


def made_before(tx: Transaction, key: Column, token: str, digest: str) -> str:
    """The id (``key``) of what the caller's token has made, "" for nothing. Its table has the
    columns account_id, client_token and request_digest. Raises INVALID, EXISTS where it was made by
    another request."""
    check_token(token)
    if not token:
        return ""
    table = key.model
    earlier = tx.one(
        table.select(key.alias("made"), table.request_digest).where(
            table.account_id == tx.call.account_id, table.client_token == token
        ),
        Earlier,
    )
    if earlier is None:
        return ""
    check_same(earlier.request_digest, digest)
    return earlier.made


def check_token(token: str) -> None:
    if len(token) > TOKEN_CHARS_MAX or not token.isascii():
        raise CloudError(
            Kind.INVALID,
            f"Value ({token}) for parameter ClientToken is invalid. "
            f"At most {TOKEN_CHARS_MAX} ASCII characters.",
            noun="parameter",
        )


def check_same(earlier_digest: str, digest: str) -> None:
    if earlier_digest != digest:
        raise CloudError(
            Kind.EXISTS,
            "Arguments on this idempotent request are inconsistent with arguments used in "
            "previous request(s).",
            noun="client-token",
        )


def digest_of(request: Message) -> str:
    """Equal for requests that say the same."""
    return hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()
