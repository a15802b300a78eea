"""AWS Signature Version 2: HMAC over the sorted parameters of a query or a form. Off by default.

For boto 2, libcloud's default, and the Eucalyptus and Nimbus drivers, which speak nothing newer.
The sum needs the secret itself, so the controller does it; here is only what was signed. Pure.
Source: AWS General Reference, "Signature Version 2 signing process".
"""

from base64 import b64decode
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote

from gateway.signatures.request import SignedRequest
from gateway.signatures.sigv4 import incomplete

ALGORITHMS = ("HmacSHA1", "HmacSHA256")
# Which service a request without a scope is for: the API version says it.
SERVICES = {"2010-05-08": "iam", "2011-06-15": "sts"}


@dataclass(frozen=True)
class Claim:
    access_key_id: str
    algorithm: str
    signature: bytes
    time: datetime | None  # of signing
    expires: datetime | None  # one of the two is given
    service: str
    session_token: bool
    parameters: tuple[tuple[str, str], ...]


def read(request: SignedRequest) -> Claim | None:
    """The claim of a request, or None where it carries no SigV2. Raises INVALID."""
    pairs = (
        request.form
        if request.method == "POST" and request.form
        else tuple(parse_qsl(request.query, keep_blank_values=True))
    )
    values = dict(pairs)
    if "AWSAccessKeyId" not in values or "Signature" not in values:
        return None
    if len(values) != len(pairs):
        raise incomplete("A parameter was given more than once.")
    if values.get("SignatureVersion") != "2":
        raise incomplete("SignatureVersion must be 2, or the request signed with version 4.")
    if values.get("SignatureMethod") not in ALGORITHMS:
        raise incomplete(f"SignatureMethod must be one of {', '.join(ALGORITHMS)}.")
    if ("Timestamp" in values) == ("Expires" in values):
        raise incomplete("The request must contain either Timestamp or Expires.")
    try:
        signature = b64decode(values["Signature"], validate=True)
    except ValueError:
        raise incomplete("The signature is not base64.") from None
    return Claim(
        access_key_id=values["AWSAccessKeyId"],
        algorithm=values["SignatureMethod"],
        signature=signature,
        time=_time(values["Timestamp"]) if "Timestamp" in values else None,
        expires=_time(values["Expires"]) if "Expires" in values else None,
        service=SERVICES.get(values.get("Version", ""), "ec2"),
        session_token=bool(values.get("SecurityToken")),  # Net::Amazon::EC2 sends an empty one
        parameters=tuple(pair for pair in pairs if pair[0] != "Signature"),
    )


def _time(written: str) -> datetime:
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        raise incomplete("Timestamp and Expires are ISO 8601.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def string_to_sign(request: SignedRequest, claim: Claim, host: str) -> bytes:
    query = "&".join(
        f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}"
        for name, value in sorted(claim.parameters, key=lambda pair: pair[0].encode())
    )
    return f"{request.method}\n{host.lower()}\n{request.path or '/'}\n{query}".encode()
