"""AWS Signature Version 4: in the Authorization header, or presigned in the query.

    claim = read(request)              what the request says about its signature, checked in form
    string_to_sign(request, claim, host, payload_hash)
    matches(...)                       in constant time

Source: AWS General Reference, "Signature Version 4 signing process"; our services encode a path
twice and normalise it (S3 alone does not). Pure: no clock, no keys.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qsl, quote, unquote_plus

from gateway.signatures.request import SignedRequest
from protos.errors import CloudError, Kind

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
MAX_PRESIGNED_S = 7 * 24 * 3600
_HEX_64 = re.compile(r"[0-9a-f]{64}")
_BASIC_TIME = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_SECONDS = re.compile(r"[0-9]{1,6}")
_SCOPE = re.compile(r"([^/]{1,128})/([0-9]{8})/([a-z0-9-]{1,64})/([a-z0-9-]{1,64})/aws4_request")


@dataclass(frozen=True)
class Claim:
    """A SigV4 signature and what it says it covers."""

    access_key_id: str
    date: str  # YYYYMMDD
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    time: datetime
    stamp: str  # the time as it is signed: 20260131T120000Z
    expires_s: int | None  # presigned only
    session_token: bool
    payload_hash: str | None  # declared: hex, UNSIGNED-PAYLOAD, or None

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def incomplete(why: str) -> CloudError:
    return CloudError(Kind.INVALID, why, noun="signature", reason="incomplete-signature")


def read(request: SignedRequest) -> Claim | None:
    """The claim of a request, or None where it carries no SigV4 at all. Raises INVALID."""
    authorization = request.headers.get("authorization", "")
    if authorization.startswith(ALGORITHM):
        return _read_header(request, authorization)
    if "X-Amz-Signature=" in request.query:
        return _read_query(request)
    return None


def _read_header(request: SignedRequest, authorization: str) -> Claim:
    parts = dict(
        part.strip().partition("=")[::2]
        for part in authorization.removeprefix(ALGORITHM).split(",")
    )
    try:
        credential, names, signature = (
            parts[name] for name in ("Credential", "SignedHeaders", "Signature")
        )
    except KeyError as absent:
        raise incomplete(f"Authorization header requires {absent} parameter.") from None
    written = request.headers.get("x-amz-date") or request.headers.get("date", "")
    claim = _claim(
        credential=credential,
        signed_headers=names,
        signature=signature,
        amz_date=written,
        expires_s=None,
        session_token=bool(request.headers.get("x-amz-security-token")),
        payload_hash=request.headers.get("x-amz-content-sha256"),
    )
    unsigned = {name for name in request.headers if name.startswith("x-amz-")}
    if unsigned := unsigned - set(claim.signed_headers):
        raise incomplete(f"These headers must be signed: {', '.join(sorted(unsigned))}")
    return claim


def _read_query(request: SignedRequest) -> Claim:
    values = dict(parse_qsl(request.query, keep_blank_values=True))
    if values.get("X-Amz-Algorithm") != ALGORITHM:
        raise incomplete(f"X-Amz-Algorithm must be {ALGORITHM}.")
    expires = values.get("X-Amz-Expires", "")
    if not _SECONDS.fullmatch(expires) or not 1 <= int(expires) <= MAX_PRESIGNED_S:
        raise incomplete(f"X-Amz-Expires must be between 1 and {MAX_PRESIGNED_S} seconds.")
    return _claim(
        credential=values.get("X-Amz-Credential", ""),
        signed_headers=values.get("X-Amz-SignedHeaders", ""),
        signature=values.get("X-Amz-Signature", ""),
        amz_date=values.get("X-Amz-Date", ""),
        expires_s=int(expires),
        session_token=bool(
            values.get("X-Amz-Security-Token") or request.headers.get("x-amz-security-token")
        ),
        payload_hash=values.get("X-Amz-Content-Sha256")
        or request.headers.get("x-amz-content-sha256"),
    )


def _claim(
    *,
    credential: str,
    signed_headers: str,
    signature: str,
    amz_date: str,
    expires_s: int | None,
    session_token: bool,
    payload_hash: str | None,
) -> Claim:
    scope = _SCOPE.fullmatch(credential)
    if scope is None:
        raise incomplete("Credential must be KEY/YYYYMMDD/region/service/aws4_request.")
    if not _HEX_64.fullmatch(signature):
        raise incomplete("The signature must be 64 hexadecimal digits.")
    names = tuple(signed_headers.split(";"))
    if "host" not in names or list(names) != sorted(set(names)):
        raise incomplete("SignedHeaders must name host, in lower case, sorted, each name once.")
    key, date, region, service = scope.groups()
    time, stamp = read_time(amz_date)
    return Claim(
        access_key_id=key,
        date=date,
        region=region,
        service=service,
        signed_headers=names,
        signature=signature,
        time=time,
        stamp=stamp,
        expires_s=expires_s,
        session_token=session_token,
        payload_hash=payload_hash,
    )


def read_time(written: str) -> tuple[datetime, str]:
    """SigV4's basic ISO 8601, or the Date header's RFC 9110 form: (time, SigV4's form of it)."""
    try:
        if _BASIC_TIME.fullmatch(written):
            return datetime.fromisoformat(written), written
        moment = parsedate_to_datetime(written)
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, TypeError, IndexError, OverflowError):  # the last: years beyond all dates
        raise incomplete("The request needs a valid X-Amz-Date, or Date, of its own.") from None
    return moment, moment.strftime("%Y%m%dT%H%M%SZ")


def string_to_sign(request: SignedRequest, claim: Claim, host: str, payload_hash: str) -> bytes:
    """The string that the client must have signed if it called ``host``."""
    headers = {**request.headers, "host": host}
    lines = [
        request.method,
        canonical_path(request.path),
        canonical_query(request.query),
        *(f"{name}:{' '.join(headers.get(name, '').split())}" for name in claim.signed_headers),
        "",
        ";".join(claim.signed_headers),
        payload_hash,
    ]
    canonical = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return f"{ALGORITHM}\n{claim.stamp}\n{claim.scope}\n{canonical}".encode()


def canonical_path(path: str) -> str:
    """Without dot segments and double slashes, then encoded once more: "/a//b/../c" -> "/a/c"."""
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in ("", "."):
            segments.append(segment)
    end = "/" if segments and path.endswith("/") else ""
    return quote("/" + "/".join(segments) + end, safe="/~")


def canonical_query(query: str) -> str:
    """Sorted by encoded name and value, without the signature itself."""
    pairs = []
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        name, value = unquote_plus(name), unquote_plus(value)
        if name and name != "X-Amz-Signature":
            pairs.append((quote(name, safe="-_.~"), quote(value, safe="-_.~")))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def matches(claim: Claim, signing_key: bytes, signed: bytes) -> bool:
    expected = hmac.new(signing_key, signed, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, claim.signature)
