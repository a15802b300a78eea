"""Refuses calls to the AWS services that Pileus does not have, in the protocol of their clients.

AWS_ENDPOINT_URL sends every call of a shell here, also those to S3 or SSM. Which service is meant
is in the signature's scope (or its form); which protocol its client speaks is seen from the
request, by the marks by which AWS's own services of several protocols tell them apart:

    the request                              the answer
    smithy-protocol: rpc-v2-cbor             CBOR {"__type", "message"}
    X-Amz-Target                             JSON {"__type", "message"}
    of a service in REST_XML                 XML, <Error>; of all but S3 in <ErrorResponse>
    a form, or Action= in the query          XML, <ErrorResponse>
    anything else: REST                      JSON, the code in the header x-amzn-ErrorType

No model is read for that; tests/unit/gateway/test_other_services.py asks every service of
botocore's. Called by gateway/app. Pure.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import cbor2

from gateway.aws import errors
from gateway.aws.renderers import escape
from protos.errors import CloudError, Kind

# Signing names of the services that speak XML without an Action.
S3_NAMES = frozenset(["s3", "s3express", "s3-object-lambda"])
REST_XML = S3_NAMES | {"cloudfront", "route53"}
S3_CONTROL = "/v20180820/"  # signed for s3, too, but its errors are as everybody's

_SLASH = "(?:/|%2[Ff])"
_SCOPE = re.compile(  # SigV4's; SigV4a's names no region
    rf"Credential=[^/&,%]+{_SLASH}\d{{8}}{_SLASH}(?:[^/&,%]+{_SLASH})?"
    rf"([A-Za-z0-9-]{{1,64}}){_SLASH}aws4_request"
)
_S3S_OWN_SIGNATURE = "AWS "  # "Authorization: AWS KEY:SIGNATURE", of before SigV4
_JSON_KINDS = ("application/x-amz-json-1.0", "application/x-amz-json-1.1", "application/json")


class Dialect(Enum):
    CBOR = "rpc-v2-cbor"
    JSON = "json"
    REST_XML = "rest-xml"
    QUERY = "query"
    REST_JSON = "rest-json"


@dataclass(frozen=True)
class Refusal:
    """An HTTP answer. ``headers`` are those beside the content type."""

    status: int
    kind: str
    content: bytes
    headers: Mapping[str, str]


def service_of(authorization: str, query: str) -> str:
    """The service that a signature is made for; "" where it names none."""
    if match := _SCOPE.search(authorization or query):
        return match[1]
    presigned = "AWSAccessKeyId=" in query and "SignatureVersion=" not in query
    return "s3" if authorization.startswith(_S3S_OWN_SIGNATURE) or presigned else ""


def unknown(service: str) -> CloudError:
    """Makes the refusal of a service that is not here."""
    return CloudError(
        Kind.UNSUPPORTED, f"Pileus has no service {service}", noun="service", id=service
    )


def dialect_of(service: str, headers: Mapping[str, str], query: str) -> Dialect:
    """How the sender of a request reads its answer. Names of ``headers`` in any case."""
    if headers.get("smithy-protocol") == "rpc-v2-cbor":
        return Dialect.CBOR
    if "x-amz-target" in headers:
        return Dialect.JSON
    if service in REST_XML:
        return Dialect.REST_XML
    form = headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    return Dialect.QUERY if form or "Action=" in query else Dialect.REST_JSON


def refuse(
    error: CloudError,
    service: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    request_id: str,
) -> Refusal:
    """The answer that tells a client of ``service`` about an error."""
    dialect, answer = dialect_of(service, headers, query), errors.answer_to(error, "query")
    if error.kind is Kind.UNSUPPORTED and service in S3_NAMES:
        answer = errors.Answer("NotImplemented", 501)  # S3's word; a HEAD's client sees 501 alone
    if dialect in (Dialect.REST_XML, Dialect.QUERY):
        alone = service in S3_NAMES and not path.startswith(S3_CONTROL)
        content = _xml(answer, error.message, request_id, alone)
        more = {"x-amz-request-id": request_id} if service in S3_NAMES else {}
        return Refusal(answer.status, "application/xml", content, more)
    fields = {"__type": answer.code, "message": error.message}
    if dialect is Dialect.CBOR:
        more = {"smithy-protocol": "rpc-v2-cbor"}
        return Refusal(answer.status, "application/cbor", cbor2.dumps(fields), more)
    kind = headers.get("content-type", "")
    return Refusal(
        answer.status,
        kind if kind in _JSON_KINDS else "application/json",
        json.dumps(fields).encode(),
        {"x-amzn-ErrorType": answer.code},
    )


def _xml(answer: errors.Answer, message: str, request_id: str, alone: bool) -> bytes:
    told = f"<Code>{escape(answer.code)}</Code><Message>{escape(message)}</Message>"
    identifier = f"<RequestId>{request_id}</RequestId>"
    if alone:
        return f"{errors.XML_HEAD}<Error>{told}{identifier}</Error>".encode()
    fault = "Receiver" if answer.status >= 500 else "Sender"
    error = f"<Error><Type>{fault}</Type>{told}</Error>"
    return f"{errors.XML_HEAD}<ErrorResponse>{error}{identifier}</ErrorResponse>".encode()
