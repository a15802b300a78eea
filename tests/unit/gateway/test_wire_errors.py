"""The error table: exact codes and statuses, and a row for all that the controller raises."""

import ast
from pathlib import Path

import pytest

from gateway.aws import errors
from protos.errors import CloudError, Kind
from protos.noun import Noun
from protos.nouns import NOUNS

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("kind", "noun", "reason", "code", "status"),
    [
        (Kind.INVALID, "parameter", "", "InvalidParameterValue", 400),
        (Kind.INVALID, "x", "parameter-combination", "InvalidParameterCombination", 400),
        (Kind.INVALID, "x", "missing-parameter", "MissingParameter", 400),
        (Kind.INVALID, "x", "unknown-parameter", "UnknownParameter", 400),
        (Kind.INVALID, "x", "block-device-mapping", "InvalidBlockDeviceMapping", 400),
        (Kind.INVALID, "x", "filter-limit", "FilterLimitExceeded", 400),
        (Kind.INVALID, "x", "permission-malformed", "InvalidPermission.Malformed", 400),
        (Kind.INVALID, "x", "group-reserved", "InvalidGroup.Reserved", 400),
        (Kind.INVALID, "x", "key-format", "InvalidKey.Format", 400),
        (Kind.INVALID, "x", "parameter-dependency", "InvalidParameterDependency", 400),
        (Kind.MALFORMED_ID, "instance", "", "InvalidInstanceID.Malformed", 400),
        (Kind.MALFORMED_ID, "image", "", "InvalidAMIID.Malformed", 400),
        (Kind.MALFORMED_ID, "security-group", "", "InvalidGroupId.Malformed", 400),
        (Kind.NOT_FOUND, "instance", "", "InvalidInstanceID.NotFound", 400),
        (Kind.NOT_FOUND, "image", "", "InvalidAMIID.NotFound", 400),
        (Kind.NOT_FOUND, "volume", "", "InvalidVolume.NotFound", 400),
        (Kind.NOT_FOUND, "snapshot", "", "InvalidSnapshot.NotFound", 400),
        (Kind.NOT_FOUND, "subnet", "", "InvalidSubnetID.NotFound", 400),
        (Kind.NOT_FOUND, "security-group", "", "InvalidGroup.NotFound", 400),
        (Kind.NOT_FOUND, "key-pair", "", "InvalidKeyPair.NotFound", 400),
        (Kind.NOT_FOUND, "elastic-ip", "", "InvalidAllocationID.NotFound", 400),
        (Kind.NOT_FOUND, "elastic-ip", "public-ip", "InvalidAddress.NotFound", 400),
        (Kind.NOT_FOUND, "elastic-ip-association", "", "InvalidAssociationID.NotFound", 400),
        (Kind.NOT_FOUND, "instance-type", "", "InvalidInstanceType", 400),
        (Kind.EXISTS, "key-pair", "", "InvalidKeyPair.Duplicate", 400),
        (Kind.EXISTS, "security-group", "", "InvalidGroup.Duplicate", 400),
        (Kind.EXISTS, "security-group-rule", "", "InvalidPermission.Duplicate", 400),
        (Kind.EXISTS, "elastic-ip-association", "", "Resource.AlreadyAssociated", 400),
        (Kind.EXISTS, "image", "", "InvalidAMIName.Duplicate", 400),
        (Kind.EXISTS, "client-token", "", "IdempotentParameterMismatch", 400),
        (Kind.WRONG_STATE, "instance", "", "IncorrectInstanceState", 400),
        (Kind.WRONG_STATE, "instance", "termination-protected", "OperationNotPermitted", 400),
        (
            Kind.WRONG_STATE,
            "client-token",
            "terminated-client-token",
            "IdempotentInstanceTerminated",
            400,
        ),
        (Kind.WRONG_STATE, "image", "", "InvalidAMIID.Unavailable", 400),
        (Kind.WRONG_STATE, "security-group", "in-use", "DependencyViolation", 400),
        (Kind.WRONG_STATE, "elastic-ip", "in-use", "InvalidIPAddress.InUse", 400),
        (Kind.QUOTA, "instance", "", "InstanceLimitExceeded", 400),
        (Kind.QUOTA, "vcpus", "", "VcpuLimitExceeded", 400),
        (Kind.QUOTA, "elastic-ip", "", "AddressLimitExceeded", 400),
        (Kind.QUOTA, "security-group-rule", "", "RulesPerSecurityGroupLimitExceeded", 400),
        (Kind.QUOTA, "tag", "", "TagLimitExceeded", 400),
        (Kind.NO_CAPACITY, "instance", "", "InsufficientInstanceCapacity", 500),
        (Kind.NO_CAPACITY, "subnet", "", "InsufficientFreeAddressesInSubnet", 400),
        (Kind.UNSUPPORTED, "", "", "UnsupportedOperation", 400),
        (Kind.UNAUTHENTICATED, "", "", "AuthFailure", 401),
        (Kind.DENIED, "", "", "UnauthorizedOperation", 403),
        (Kind.DRY_RUN, "", "", "DryRunOperation", 412),
        (Kind.UNAVAILABLE, "", "", "Unavailable", 503),
        (Kind.BUG, "", "", "InternalError", 500),
    ],
)
def test_codes_are_ec2s_own(kind, noun, reason, code, status):
    answer = errors.row(kind, noun, reason)
    assert (answer.code, answer.status) == (code, status)


# What AWS answers without documenting it.
UNDOCUMENTED = {
    "RequestEntityTooLarge": "of the front end, before a request is EC2's",
    "RequestTimeout": "of the front end; SDKs retry at it",
    "InvalidVpc.Range": "what CreateVpc answers; the list has InvalidVpcRange",
    "InvalidVolumeModification.NotFound": "what DescribeVolumesModifications answers",
    "InvalidTransitGatewayID.NotFound": "what the Terraform provider tells an absent one by",
    "InvalidTransitGatewayAttachmentID.NotFound": "as above",
    "InvalidPublicIpv4PoolID.NotFound": "as above",
    "InvalidPoolID.NotFound": "as above, of DescribeCoipPools",
}


def codes_of(noun: Noun) -> set[str]:
    """All that its declaration and the rules give."""
    by_rule = {(kind, "") for kind in Kind} | {(Kind.WRONG_STATE, "in-use")}
    return {noun.code(*which) for which in by_rule | set(noun.codes)} - {None}


def test_every_code_is_one_that_ec2_lists():
    """Whatever fails: the tables of the EC2 dialect have no code that its documentation has not."""
    lines = (Path(__file__).parent / "ec2_error_codes.txt").read_text().splitlines()
    documented = {line for line in lines if not line.startswith("#")}
    own = {answer.code for answer in (*errors._INVALID.values(), *errors._BY_KIND.values())}
    answers = own.union(errors._OTHERS.values(), *map(codes_of, NOUNS.values()))
    assert len(answers) > 100
    assert answers - documented == set(UNDOCUMENTED)


@pytest.mark.parametrize(
    ("kind", "reason", "code", "status"),
    [
        (Kind.UNAUTHENTICATED, "unknown-key", "InvalidClientTokenId", 403),
        (Kind.UNAUTHENTICATED, "signature", "SignatureDoesNotMatch", 403),
        (Kind.DENIED, "", "AccessDenied", 403),
        (Kind.BUG, "", "InternalFailure", 500),
        (Kind.INVALID, "unknown-action", "InvalidAction", 400),
    ],
)
def test_iam_and_sts_have_words_of_their_own(kind, reason, code, status):
    answer = errors.answer_to(CloudError(kind, "m", reason=reason), "query")
    assert (answer.code, answer.status) == (code, status)


def test_every_kind_has_a_last_resort():
    for kind in Kind:
        unknown = CloudError(kind, "m", noun="unheard-of", reason="unheard-of")
        assert errors.answer_to(unknown, "ec2").code
        assert errors.answer_to(unknown, "query").code


def test_messages_are_escaped():
    error = CloudError(Kind.INVALID, "a < b & c")
    for dialect in ("ec2", "query"):
        _, text = errors.render(error, dialect, "ns", "r-1")
        assert "a &lt; b &amp; c" in text


def raised(folder: str):
    """(file, line, kind, noun, reason) of each CloudError(...) whose words are in the source.

    A noun or reason that is computed gives None: what it may be only running tells.
    """
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "CloudError"):
                continue
            kind = node.args[0] if node.args else None
            if not (isinstance(kind, ast.Attribute) and getattr(kind.value, "id", "") == "Kind"):
                continue
            words = {"noun": "", "reason": ""}
            for given in node.keywords:
                if given.arg in words:
                    value = given.value
                    words[given.arg] = value.value if isinstance(value, ast.Constant) else None
            name = f"{path.relative_to(ROOT)}:{node.lineno}"
            yield name, Kind[kind.attr], words["noun"], words["reason"]


@pytest.mark.parametrize("folder", ["controller", "gateway", "protos"])
def test_all_that_is_raised_has_a_row(folder):
    without = [
        f"{where} {kind.name} noun={noun!r} reason={reason!r}"
        for where, kind, noun, reason in raised(folder)
        if noun is not None and reason is not None and errors.row(kind, noun, reason) is None
    ]
    assert not without, "\n".join(without)
