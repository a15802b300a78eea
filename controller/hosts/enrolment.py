"""How a host joins: a one-time token made by the operator, exchanged for a certificate.

A token is one string: "pileus-join:" + urlsafe base64 of JSON {"address", "ca", "secret"}: where
the join port is, the PEM of the authority that its certificate must come from, and 32 secret bytes
of which the database keeps the SHA-256 only. One token, one certificate: the same request again (a
lost answer) gets the same certificate, another key with a used token is refused. A host that lost
its state joins anew under its name with a new token and keeps its host id.
"""

import base64
import hashlib
import json
import random
from dataclasses import dataclass
from typing import NamedTuple

from controller.config import Config
from controller.hosts.authority import Authority
from controller.kernel.call import Call
from controller.kernel.database import Database, Transaction
from controller.kernel.rows import columns
from controller.tables.hosts import Assignment, Host, JoinToken
from protos.cloud.v1 import fleet_pb2
from protos.errors import CloudError, Kind
from protos.ids import new_id

PREFIX = "pileus-join:"
NAME_CHARS_MAX = 63
LONGEST_VALID_S = 30 * 24 * 3600


@dataclass(frozen=True)
class Token:
    text: str
    expires_ms: int


class TokenRow(NamedTuple):
    host_name: str
    availability_zone: str
    expires_ms: int
    csr_digest: str
    host_id: str
    certificate: str


class Enrolment:
    """The Enrolment service's servicer, and the making of tokens."""

    def __init__(
        self, db: Database, rng: random.Random, config: Config, authority: Authority | None
    ):
        self._db, self._rng, self._config, self._authority = db, rng, config, authority

    def create_token(self, call: Call, host_name: str, zone: str, valid_s: int = 0) -> Token:
        """A token for one host of that name. Raises INVALID for a name or a zone that cannot be."""
        authority = self._require_authority()
        _check_host_name(host_name)
        zone = zone or self._config.region.zones[0].name
        if zone not in {known.name for known in self._config.region.zones}:
            known = ", ".join(known.name for known in self._config.region.zones)
            raise CloudError(
                Kind.INVALID,
                f"Invalid availability zone: [{zone}]. This cloud has {known}.",
                noun="availability-zone",
            )
        valid_s = valid_s or self._config.hosts.join_token_valid_s
        if not 0 < valid_s <= LONGEST_VALID_S:
            raise CloudError(
                Kind.INVALID,
                f"A join token is valid for 1 to {LONGEST_VALID_S} seconds.",
                noun="parameter",
            )
        secret = base64.urlsafe_b64encode(self._rng.randbytes(32)).decode()
        expires_ms = call.now_ms + valid_s * 1000
        row = {
            "secret_digest": _digest(secret.encode()),
            "host_name": host_name,
            "availability_zone": zone,
            "created_ms": call.now_ms,
            "expires_ms": expires_ms,
        }
        with self._db.write(call) as tx:
            tx.insert(JoinToken, [row])
        address = self._config.join_endpoint or self._config.join_listen
        ca = authority.certificate_pem.decode()
        content = json.dumps({"address": address, "ca": ca, "secret": secret}).encode()
        return Token(PREFIX + base64.urlsafe_b64encode(content).decode(), expires_ms)

    def Join(self, request: fleet_pb2.JoinRequest, call: Call) -> fleet_pb2.JoinResponse:
        authority = self._require_authority()
        digest = _digest(_secret(request.token).encode())
        csr_digest = _digest(request.certificate_request_pem)
        with self._db.write(call) as tx:
            query = JoinToken.select(*columns(TokenRow, JoinToken))
            token = tx.one(query.where(JoinToken.secret_digest == digest), TokenRow)
            if token is None or (not token.csr_digest and token.expires_ms < call.now_ms):
                raise _refused("is unknown or has expired")
            if request.host_name and request.host_name != token.host_name:
                raise _refused("is for a host of another name")
            if request.availability_zone not in ("", token.availability_zone):
                raise _refused("is for a host of another zone")
            if not token.csr_digest:
                host_id = self._host(tx, token)
                certificate = authority.sign(
                    request.certificate_request_pem, f"host:{host_id}", call.now_ms
                ).decode()
                used = {"csr_digest": csr_digest, "host_id": host_id, "certificate": certificate}
                tx.advance(JoinToken, used, JoinToken.secret_digest == digest)
            elif token.csr_digest == csr_digest:
                host_id, certificate = token.host_id, token.certificate
            else:
                raise _refused("has been used already")
        return fleet_pb2.JoinResponse(
            host_id=host_id,
            certificate_pem=certificate.encode(),
            ca_pem=authority.certificate_pem,
            controller_endpoint=self._config.endpoint or self._config.listen,
        )

    def forget_expired(self, call: Call) -> None:
        """Reconcile task: tokens that nobody can use any more, a day later."""
        with self._db.write(call) as tx:
            tx.delete(JoinToken, JoinToken.expires_ms < call.now_ms - 24 * 3600 * 1000)

    def _host(self, tx: Transaction, token: TokenRow) -> str:
        """The host row of that name; its zone is the token's from now on, where it has no instances
        to contradict."""
        known = tx.value(Host.select(Host.host_id).where(Host.name == token.host_name), str)
        if known is not None:
            _hear_anew(tx, known)
            tx.advance(
                Host,
                {"availability_zone": token.availability_zone},
                Host.host_id == known,
                Host.vcpus_used == 0,
                Host.disk_gib_used == 0,
            )
            return known
        host_id = new_id("host", self._rng)
        row = {
            "host_id": host_id,
            "name": token.host_name,
            "availability_zone": token.availability_zone,
            "created_ms": tx.call.now_ms,
        }
        tx.insert(Host, [row])
        return host_id

    def _require_authority(self) -> Authority:
        if self._authority is None:
            raise CloudError(
                Kind.UNSUPPORTED,
                "This controller has no key of the certificate authority (tls.ca_key).",
                noun="host",
            )
        return self._authority


def _hear_anew(tx: Transaction, host_id: str) -> None:
    """The host has lost its memory, and with it the count of its reports."""
    anew = {"epoch": 0, "sequence": 0}
    tx.advance(Host, anew, Host.host_id == host_id)
    tx.advance(Assignment, anew, Assignment.host_id == host_id)


def _secret(token: str) -> str:
    """The secret of a whole token, or what stands alone."""
    if not token.startswith(PREFIX):
        return token
    try:
        content = json.loads(base64.urlsafe_b64decode(token.removeprefix(PREFIX)))
        return str(content["secret"])
    except (ValueError, KeyError, TypeError) as unreadable:
        raise _refused("is unreadable") from unreadable


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _check_host_name(name: str) -> None:
    plain = name.replace("-", "a").replace(".", "a")
    if not (0 < len(name) <= NAME_CHARS_MAX and plain.isascii() and plain.isalnum()):
        raise CloudError(
            Kind.INVALID,
            f"A host's name is 1 to {NAME_CHARS_MAX} letters, digits, dots and dashes.",
            noun="parameter",
        )


def _refused(why: str) -> CloudError:
    return CloudError(Kind.UNAUTHENTICATED, f"The join token {why}.", noun="host")
