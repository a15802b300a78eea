"""Signatures: who sent this request? SigV4 in header or query, SigV2 where switched on.

    authenticator.authenticate(request, caller) -> Identified(principal, service, payload_hash)

The credential scope says which service is meant ("ec2", "iam", "sts", "pileus"), so any host name
and any path will do. Called by gateway/app. Raises CloudError: UNAUTHENTICATED whatever is wrong
with a key or a signature, and nothing tells the two apart; INVALID for a form that is none;
UNAVAILABLE.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from gateway.signatures import sigv2, sigv4
from gateway.signatures.keys import SigningKeys
from gateway.signatures.request import HostPolicy, SignedRequest
from protos import rpc
from protos.cloud.v1 import identity_pb2
from protos.errors import CloudError, Kind

if TYPE_CHECKING:
    from protos.cloud.v1.clients import IdentityClient

__all__ = ["Authenticator", "HostPolicy", "Identified", "SignedRequest", "SigningKeys"]

SERVICES = ("ec2", "iam", "sts", "pileus")
ANY_REGION = "any"
GLOBAL_REGION = "us-east-1"  # what AWS's clients sign for IAM and STS, wherever they are


@dataclass(frozen=True)
class Identified:
    """Who signed, for which service, and the hash that a streamed body must turn out to have."""

    principal: identity_pb2.Principal
    service: str
    payload_hash: str | None = None


def unauthenticated(reason: str) -> CloudError:
    return CloudError(
        Kind.UNAUTHENTICATED,
        "AWS was not able to validate the provided access credentials",
        noun="signature",
        reason=reason,
    )


def expired(why: str) -> CloudError:
    return CloudError(Kind.INVALID, why, noun="signature", reason="request-expired")


class Authenticator:
    """A scope names one of ``regions``, or any where "any" is among them. ``now`` gives seconds
    since 1970."""

    def __init__(
        self,
        keys: SigningKeys,
        identity: "IdentityClient",
        now: Callable[[], float],
        *,
        regions: Collection[str],
        sigv2: bool = False,
        max_skew_s: int = 15 * 60,
    ):
        self._keys, self._identity, self._now = keys, identity, now
        self._regions, self._sigv2 = frozenset(regions), sigv2
        self._max_skew = timedelta(seconds=max_skew_s)

    def authenticate(self, request: SignedRequest, caller: rpc.Caller) -> Identified:
        claim = sigv4.read(request)
        if claim is not None:
            return self._version_4(request, claim, caller)
        older = sigv2.read(request) if self._sigv2 else None
        if older is not None:
            return self._version_2(request, older, caller)
        raise unauthenticated("missing-credentials")

    def _version_4(
        self, request: SignedRequest, claim: sigv4.Claim, caller: rpc.Caller
    ) -> Identified:
        self._check_scope(claim)
        self._check_time(claim.time, claim.expires_s)
        if claim.session_token:
            raise unauthenticated("session-token")  # none are issued, so none is good
        payload_hash = _payload_hash(request, claim)
        try:
            key = self._keys.get(
                claim.access_key_id, claim.date, claim.region, claim.service, caller
            )
        except CloudError as refusal:
            if refusal.kind is Kind.NOT_FOUND:
                raise unauthenticated("unknown-key") from refusal
            raise
        for host in request.hosts:
            signed = sigv4.string_to_sign(request, claim, host, payload_hash)
            if sigv4.matches(claim, key.key, signed):
                promised = None if payload_hash == sigv4.UNSIGNED else payload_hash
                return Identified(key.principal, claim.service, promised)
        raise unauthenticated("signature")

    def _version_2(
        self, request: SignedRequest, claim: sigv2.Claim, caller: rpc.Caller
    ) -> Identified:
        if claim.time is not None:
            self._check_time(claim.time, None)
        elif claim.expires is None or claim.expires <= self._moment():
            raise expired("Request has expired.")
        if claim.session_token:
            raise unauthenticated("session-token")
        for host in request.hosts[:2]:  # each try is a call: what was sent, and without its port
            question = identity_pb2.VerifySigV2Request(
                access_key_id=claim.access_key_id,
                algorithm=claim.algorithm,
                string_to_sign=sigv2.string_to_sign(request, claim, host),
                signature=claim.signature,
            )
            try:
                principal = self._identity.VerifySigV2(question, caller=caller)
            except CloudError as refusal:
                if refusal.kind not in (Kind.NOT_FOUND, Kind.UNAUTHENTICATED):
                    raise
                continue
            return Identified(principal, claim.service)
        raise unauthenticated("signature")

    def _check_scope(self, claim: sigv4.Claim) -> None:
        regions = self._regions
        if claim.service in ("iam", "sts"):
            regions |= {GLOBAL_REGION}
        if ANY_REGION not in regions and claim.region not in regions:
            raise unauthenticated("scope")
        if claim.service not in SERVICES or claim.date != claim.stamp[:8]:
            raise unauthenticated("scope")

    def _check_time(self, signed: datetime, expires_s: int | None) -> None:
        now = self._moment()
        if signed > now + self._max_skew:
            raise expired("Signature not yet current: the request is dated in the future.")
        lifetime = self._max_skew if expires_s is None else timedelta(seconds=expires_s)
        if now > signed + lifetime:
            raise expired("Request has expired.")

    def _moment(self) -> datetime:
        return datetime.fromtimestamp(self._now(), UTC)


def _payload_hash(request: SignedRequest, claim: sigv4.Claim) -> str:
    """The last line of what was signed. A body that is not what was promised is refused here.

    UNSIGNED-PAYLOAD says that TLS alone protects the body, so it is taken over TLS only; and on
    loopback for a body that is streamed, where nobody is between.
    """
    declared = claim.payload_hash
    if declared == sigv4.UNSIGNED:
        if request.secure or (request.loopback and request.payload_hash is None):
            return declared
        raise unauthenticated("unsigned-payload")
    if request.payload_hash is None:
        if declared is None or len(declared) != 64:
            raise sigv4.incomplete("A streamed body needs its hash in x-amz-content-sha256.")
        return declared
    if declared is not None and declared != request.payload_hash:
        raise unauthenticated("payload")
    return request.payload_hash
