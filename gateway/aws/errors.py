"""What a failure is called in AWS's languages: (kind, noun, reason) -> code, HTTP status, XML.

The convention, which the controller follows when it raises a CloudError. ``noun`` is EC2's resource
type ("instance", "image", "security-group" ...). The codes of a noun are in its declaration
(protos/nouns) and follow from its name where EC2 is regular; here are those of all else.

    kind          chosen by     example                             gives
    INVALID       reason        reason="parameter-combination"      InvalidParameterCombination
                                no reason                           InvalidParameterValue
    MALFORMED_ID  noun          noun="instance"                     InvalidInstanceID.Malformed
    NOT_FOUND     noun, reason  noun="elastic-ip"                   InvalidAllocationID.NotFound
                                ... and reason="public-ip"          InvalidAddress.NotFound
    EXISTS        noun, reason  noun="security-group-rule"          InvalidPermission.Duplicate
    WRONG_STATE   noun, reason  noun="instance"                     IncorrectInstanceState
                                ... reason="termination-protected"  OperationNotPermitted
    QUOTA         noun          noun="vcpus"                        VcpuLimitExceeded
    NO_CAPACITY   noun          noun="subnet"                       InsufficientFreeAddressesIn...
    the others    the kind      DENIED                              UnauthorizedOperation, 403

A combination without a code is a mistake: tests/unit/gateway/test_wire_errors.py looks for all that
the controller's source raises. In production it is answered by its kind's own row, and logged. The
codes are AWS's documented ones ("Error codes for the Amazon EC2 API"), irregular as they are; those
that AWS answers without documenting them are marked.
"""

import logging
from dataclasses import dataclass

from gateway.aws.renderers import escape
from protos.errors import CloudError, Kind
from protos.noun import KINDS_WITHOUT_REASON
from protos.nouns import NOUNS

log = logging.getLogger(__name__)

XML_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


@dataclass(frozen=True)
class Answer:
    """An EC2 error.

    Its code and HTTP status, 400 unless clients tell it apart by that (docs/ec2.md, trap 9).
    """

    code: str
    status: int = 400


def _rows(**codes: str) -> dict[str, Answer]:
    return {name.replace("_", "-"): Answer(code) for name, code in codes.items()}


_INVALID = {  # by reason
    "": Answer("InvalidParameterValue"),
    "unknown-action": Answer("InvalidAction"),
    "missing-action": Answer("MissingAction"),
    "version": Answer("NoSuchVersion"),
    "malformed-query": Answer("MalformedQueryString"),
    "too-large": Answer("RequestEntityTooLarge", 413),  # undocumented; EC2's front end answers so
    "method": Answer("InvalidRequest", 405),
    "incomplete-body": Answer("RequestTimeout", 408),  # undocumented; the SDKs retry at it
    "request-expired": Answer("RequestExpired"),
    "incomplete-signature": Answer("IncompleteSignature"),
} | _rows(
    parameter_value="InvalidParameterValue",
    parameter_combination="InvalidParameterCombination",
    parameter_dependency="InvalidParameterDependency",
    missing_parameter="MissingParameter",
    unknown_parameter="UnknownParameter",
    block_device_mapping="InvalidBlockDeviceMapping",
    permission_malformed="InvalidPermission.Malformed",
    group_reserved="InvalidGroup.Reserved",
    key_format="InvalidKey.Format",
    next_token="InvalidNextToken",
    group_id_malformed="InvalidGroupId.Malformed",
    tag_key_malformed="InvalidTagKey.Malformed",
    image_name_malformed="InvalidAMIName.Malformed",
    attribute_value="InvalidInstanceAttributeValue",
    filter_limit="FilterLimitExceeded",
    zone_mismatch="InvalidVolume.ZoneMismatch",
    credits_not_supported="InstanceCreditSpecification.NotSupported",
    several_interfaces="InvalidInstanceID",
    client_token="InvalidClientToken",
    manifest="InvalidManifest",
    different_networks="InvalidParameter",
    vpc_range="InvalidVpc.Range",  # undocumented: the list has InvalidVpcRange, EC2 answers this
    subnet_range="InvalidSubnet.Range",
)

# What no noun has declared: values of parameters, and the last resort of each kind.
_OTHERS = {
    (Kind.MALFORMED_ID, "", ""): "InvalidID",
    (
        Kind.MALFORMED_ID,
        "tag",
        "",
    ): "InvalidID",  # of no shape at all, where any resource's would do
    (Kind.NOT_FOUND, "", ""): "InvalidID",
    (Kind.NOT_FOUND, "gateway", ""): "InvalidGatewayID.NotFound",  # as a route's target
    (Kind.NOT_FOUND, "instance-type", ""): "InvalidInstanceType",
    (Kind.NOT_FOUND, "availability-zone", ""): "InvalidParameterValue",
    (Kind.NOT_FOUND, "availability-zone", "zone"): "InvalidZone.NotFound",
    (Kind.NOT_FOUND, "region", ""): "InvalidParameterValue",
    (Kind.NOT_FOUND, "parameter", ""): "InvalidParameterValue",
    (Kind.NOT_FOUND, "account", ""): "InvalidParameterValue",
    (Kind.NOT_FOUND, "quota", ""): "InvalidParameterValue",
    (Kind.NOT_FOUND, "access-key", ""): "InvalidParameterValue",
    (Kind.NOT_FOUND, "tag", ""): "InvalidParameterValue",
    (Kind.EXISTS, "", ""): "InvalidParameterValue",
    (Kind.EXISTS, "account", ""): "InvalidParameterValue",
    (Kind.EXISTS, "client-token", ""): "IdempotentParameterMismatch",
    (Kind.WRONG_STATE, "", ""): "IncorrectState",
    (Kind.WRONG_STATE, "account", ""): "IncorrectState",
    (Kind.WRONG_STATE, "client-token", "terminated-client-token"): "IdempotentInstanceTerminated",
    (Kind.QUOTA, "", ""): "ResourceLimitExceeded",
    (Kind.QUOTA, "access-key", ""): "ResourceLimitExceeded",
    (Kind.QUOTA, "tag", ""): "TagLimitExceeded",
    (Kind.QUOTA, "attachment", ""): "AttachmentLimitExceeded",
    (Kind.QUOTA, "groups-per-interface", ""): "SecurityGroupsPerInterfaceLimitExceeded",
    (Kind.QUOTA, "private-address", ""): "PrivateIpAddressLimitExceeded",
    (Kind.QUOTA, "pending-snapshot", ""): "ConcurrentSnapshotLimitExceeded",
    (Kind.NO_CAPACITY, "", ""): "InsufficientCapacity",
}
_ASK_LATER = 500  # of NO_CAPACITY, which SDKs retry; a subnet that is full stays so
_STATUS = {"InsufficientFreeAddressesInSubnet": 400}

_BY_KIND = {
    Kind.UNSUPPORTED: Answer("UnsupportedOperation"),
    Kind.UNAUTHENTICATED: Answer("AuthFailure", 401),
    Kind.DENIED: Answer("UnauthorizedOperation", 403),
    Kind.UNAVAILABLE: Answer("Unavailable", 503),
    Kind.BUG: Answer("InternalError", 500),
    Kind.DRY_RUN: Answer("DryRunOperation", 412),
}

# IAM and STS have their own words for the common failures: (kind, reason) -> answer. Others are as
# above.
_QUERY_DIALECT = {
    (Kind.UNAUTHENTICATED, ""): Answer("SignatureDoesNotMatch", 403),
    (Kind.UNAUTHENTICATED, "unknown-key"): Answer("InvalidClientTokenId", 403),
    (Kind.UNAUTHENTICATED, "session-token"): Answer("InvalidClientTokenId", 403),
    (Kind.UNAUTHENTICATED, "missing-credentials"): Answer("MissingAuthenticationToken", 403),
    (Kind.DENIED, ""): Answer("AccessDenied", 403),
    (Kind.UNAVAILABLE, ""): Answer("ServiceUnavailable", 503),
    (Kind.BUG, ""): Answer("InternalFailure", 500),
}


def row(kind: Kind, noun: str, reason: str) -> Answer | None:
    """The answer to exactly this combination, or None where there is none."""
    if kind is Kind.INVALID:
        return _INVALID.get(reason)
    if kind in _BY_KIND:
        return _BY_KIND[kind]
    code = NOUNS[noun].code(kind, reason) if noun in NOUNS else _other(kind, noun, reason)
    if code is None:
        return None
    return Answer(code, _STATUS.get(code, _ASK_LATER if kind is Kind.NO_CAPACITY else 400))


def _other(kind: Kind, noun: str, reason: str) -> str | None:
    return _OTHERS.get((kind, noun, "" if kind in KINDS_WITHOUT_REASON else reason))


def answer_to(error: CloudError, dialect: str) -> Answer:
    """The code and status of an error in a dialect ("ec2" | "query"). Always finds one."""
    if dialect == "query":
        own = _QUERY_DIALECT.get((error.kind, error.reason)) or _QUERY_DIALECT.get((error.kind, ""))
        if own is not None:
            return own
    found = row(error.kind, error.noun, error.reason)
    if found is not None:
        return found
    log.error("no EC2 code for %r", error)
    return row(error.kind, error.noun, "") or row(error.kind, "", "") or _BY_KIND[Kind.BUG]


def render(error: CloudError, dialect: str, namespace: str, request_id: str) -> tuple[int, str]:
    """(HTTP status, XML) of an error.

    EC2's root has no namespace and RequestID has a capital D (docs/ec2.md traps 1, 2).
    """
    answer = answer_to(error, dialect)
    code, message = escape(answer.code), escape(error.message)
    if dialect == "ec2":
        return answer.status, (
            f"{XML_HEAD}<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message>"
            f"</Error></Errors><RequestID>{request_id}</RequestID></Response>"
        )
    fault = "Receiver" if answer.status >= 500 else "Sender"
    return answer.status, (
        f'{XML_HEAD}<ErrorResponse xmlns="{namespace}"><Error><Type>{fault}</Type>'
        f"<Code>{code}</Code><Message>{message}</Message></Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    )
