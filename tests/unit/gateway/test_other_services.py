"""AWS services that Pileus does not have: each of their clients must read the refusal."""

import gzip
import json
from pathlib import Path
from urllib.parse import urlencode

import boto3
import botocore
import pytest
from botocore import UNSIGNED
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from lxml import etree

from gateway.aws import other_services
from gateway.aws.other_services import Dialect
from protos.errors import CloudError, Kind
from tests.unit.gateway.world import KEY_ID, REGION, SECRET, credentials

MODELS = Path(botocore.__file__).parent / "data"
ONCE = {"retries": {"max_attempts": 0}, "parameter_validation": False}
NEVER_SIGNED_BY_4 = {"importexport"}  # dead; its client signs by version 2, whatever it is told


def client(served, service: str, **config):
    _, ec2 = served
    return boto3.client(
        service,
        endpoint_url=ec2.meta.endpoint_url,
        config=Config(**ONCE, **config),
        **credentials(),
    )


def refusal(call, **members) -> tuple[str, str, int]:
    """(code, message, HTTP status) of a call that is refused."""
    with pytest.raises(ClientError) as raised:
        call(**members)
    answer = raised.value.response
    told, status = answer["Error"], answer["ResponseMetadata"]["HTTPStatusCode"]
    if told["Code"] != str(status):  # botocore reads no more of an answer without a body
        assert answer["ResponseMetadata"]["RequestId"], "a refusal without a request id"
    return told["Code"], told["Message"], status


@pytest.mark.parametrize(
    ("service", "operation", "members", "name"),
    [
        ("ssm", "get_parameter", {"Name": "x"}, "ssm"),  # JSON
        ("dynamodb", "list_tables", {}, "dynamodb"),
        ("sqs", "list_queues", {}, "sqs"),
        ("lambda", "list_functions", {}, "lambda"),  # REST in JSON
        ("eks", "create_cluster", {"name": "x"}, "eks"),
        ("efs", "delete_file_system", {"FileSystemId": "fs-1"}, "elasticfilesystem"),
        ("cloudwatch", "list_metrics", {}, "monitoring"),  # CBOR
        ("keyspaces", "list_keyspaces", {}, "cassandra"),
        ("sns", "list_topics", {}, "sns"),  # Query
        ("elbv2", "describe_load_balancers", {}, "elasticloadbalancing"),
        ("autoscaling", "describe_auto_scaling_groups", {}, "autoscaling"),
        ("route53", "list_hosted_zones", {}, "route53"),  # REST in XML
        ("cloudfront", "list_distributions", {}, "cloudfront"),
    ],
)
def test_clients_read_that_there_is_no_such_service(served, service, operation, members, name):
    call = getattr(client(served, service), operation)
    told = refusal(call, **members)
    assert told == ("UnsupportedOperation", f"Pileus has no service {name}", 400)


@pytest.mark.parametrize("addressing", ["path", "virtual"])
@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_s3_says_it_in_its_own_word(served, version, addressing):
    s3 = client(served, "s3", signature_version=version, s3={"addressing_style": addressing})
    assert refusal(s3.list_buckets) == ("NotImplemented", "Pileus has no service s3", 501)


def test_s3_says_it_to_whom_reads_no_body(served):
    assert refusal(client(served, "s3").head_bucket, Bucket="b") == ("501", "Not Implemented", 501)


def test_s3s_objects_are_not_waited_for(served):
    """More than the gateway takes of anybody: nobody is told that the object were too large."""
    body = bytes(4 * 1024 * 1024)
    told = refusal(client(served, "s3").put_object, Bucket="b", Key="k", Body=body)
    assert told[:2] == ("NotImplemented", "Pileus has no service s3")


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_s3_presigned(served, world, version):
    s3 = client(served, "s3", signature_version=version)
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})
    answer = world.http.get("/" + url.split("/", 3)[3])
    root = etree.fromstring(answer.data)
    assert (answer.status_code, root.tag) == (501, "Error")
    assert root.findtext("Code") == "NotImplemented"


def test_s3_control_wraps_its_errors(world):
    """Asked by hand: its client puts the account's id before the host's name."""
    path = f"{other_services.S3_CONTROL}configuration/publicAccessBlock"
    answer = world.send("GET", f"http://localhost{path}", service="s3")
    root = etree.fromstring(answer.data)
    assert (root.tag, root.findtext("Error/Code")) == ("ErrorResponse", "NotImplemented")


def test_cloudwatch_asked_in_its_other_protocols(world):
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    asked = urlencode({"Action": "ListMetrics", "Version": "2010-08-01"}).encode()
    answer = world.send("POST", "http://localhost/", body=asked, headers=form, service="monitoring")
    assert etree.fromstring(answer.data).findtext("Error/Code") == "UnsupportedOperation"
    target = {
        "X-Amz-Target": "GraniteServiceVersion20100801.ListMetrics",
        "Content-Type": "application/x-amz-json-1.0",
    }
    answer = world.send("POST", "http://localhost/", headers=target, service="monitoring")
    assert json.loads(answer.data)["message"] == "Pileus has no service monitoring"
    assert answer.content_type == "application/x-amz-json-1.0"


def test_what_our_own_services_have_not_stays_theirs(served):
    iam, sts = client(served, "iam"), client(served, "sts")
    code, message, status = refusal(iam.list_groups)
    assert (code, status) == ("UnsupportedOperation", 400) and "ListGroups" in message
    assert refusal(sts.get_session_token)[0] == "UnsupportedOperation"


def test_an_action_that_no_service_has(world):
    for service in ("iam", "sts", "ec2"):
        answer = world.call({"Action": "BrewCoffee"}, service=service)
        root = etree.fromstring(answer.data)
        assert (answer.status_code, root.findtext(".//Code")) == (400, "InvalidAction") or (
            root.findtext(".//{*}Code") == "InvalidAction"
        )


def test_without_any_signature_json_is_still_answered_in_json(served):
    identity = client(served, "cognito-identity", signature_version=UNSIGNED)
    code, _, status = refusal(identity.get_id, IdentityPoolId="us-east-1:1")
    assert (code, status) == ("MissingAuthenticationToken", 403)


@pytest.mark.parametrize(
    "credential",
    [
        "KEY/20260101/us-east-1/s3-object-lambda/aws4_request",
        "KEY/20260101/s3-object-lambda/aws4_request",  # SigV4a
        "KEY%2F20260101%2Feu-west-1%2Fs3-object-lambda%2Faws4_request",
        "KEY%2f20260101%2feu-west-1%2fs3-object-lambda%2faws4_request",
    ],
)
def test_the_scope_says_the_service(credential):
    assert (
        other_services.service_of(f"AWS4-X Credential={credential}, Si", "") == "s3-object-lambda"
    )
    assert other_services.service_of("", f"X-Amz-Credential={credential}&a=b") == "s3-object-lambda"


@pytest.mark.parametrize(
    "credential", ["", "KEY", "a/b/c/d/e", "KEY/20260101/us-east-1/<b>/aws4_request"]
)
def test_a_scope_that_is_none_says_nothing(credential):
    assert other_services.service_of(f"AWS4-HMAC-SHA256 Credential={credential}", "") == ""


def test_no_key_is_asked_for(served):
    world, _ = served
    refusal(client(served, "ssm").describe_parameters)
    asked = {each.method for each in world.clients.identity.calls}
    assert asked <= {"ListKeyChanges"}, "the gateway's poll of revoked keys, at its own pace"


# -- all of botocore's services


def metadata(model: Path) -> dict:
    """The first member of a model's document after its version, without reading the rest."""
    with gzip.open(model, "rt") as file:
        head = file.read(20_000)
    start = head.index('"metadata":') + len('"metadata":')
    return json.JSONDecoder().raw_decode(head[start:].lstrip())[0]


def newest_models() -> list[Path]:
    folders = sorted(path for path in MODELS.iterdir() if path.is_dir())
    models = [sorted(folder.glob("*/service-2.json.gz")) for folder in folders]
    return [found[-1] for found in models if found]


def marks(protocol: str, details: dict) -> tuple[dict[str, str], str]:
    """(headers, query) by which botocore's serializer of a protocol is known."""
    match protocol:
        case "smithy-rpc-v2-cbor":
            return {"smithy-protocol": "rpc-v2-cbor", "content-type": "application/cbor"}, ""
        case "json":
            kind = f"application/x-amz-json-{details['jsonVersion']}"
            return {"x-amz-target": "Service.Operation", "content-type": kind}, ""
        case "query" | "ec2":
            return {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}, ""
        case "rest-json":
            return {"content-type": "application/json"}, ""
        case "rest-xml":
            return {"content-type": "application/xml"}, ""


EXPECTED = {
    "smithy-rpc-v2-cbor": Dialect.CBOR,
    "json": Dialect.JSON,
    "query": Dialect.QUERY,
    "ec2": Dialect.QUERY,
    "rest-json": Dialect.REST_JSON,
    "rest-xml": Dialect.REST_XML,
}


def test_the_marks_are_those_of_every_service():
    models = newest_models()
    assert len(models) > 400
    for model in models:
        details = metadata(model)
        name = details.get("signingName") or details["endpointPrefix"]
        for protocol in details.get("protocols") or [details["protocol"]]:
            headers, query = marks(protocol, details)
            found = other_services.dialect_of(name, headers, query)
            assert found is EXPECTED[protocol], f"{model}: {protocol}"
            if protocol.startswith("rest"):  # a GET or DELETE has no body, and no type of one
                assert other_services.dialect_of(name, {}, "") is EXPECTED[protocol], model


def test_the_marks_are_those_of_botocores_serializers(served):
    """One client of each protocol, so that ``marks`` says what is really sent."""
    for service, operation, members in [
        ("cloudwatch", "list_metrics", {}),
        ("ssm", "describe_parameters", {}),
        ("sns", "list_topics", {}),
        ("lambda", "invoke", {"FunctionName": "f"}),
        ("route53", "create_hosted_zone", {"Name": "x", "CallerReference": "y"}),
    ]:
        made, sent = client(served, service), []
        made.meta.events.register("before-send", lambda request, **_: sent.append(request))  # noqa: B023
        refusal(getattr(made, operation), **members)
        protocol = made.meta.service_model.resolved_protocol
        names = {
            name.lower(): value.decode() if isinstance(value, bytes) else value
            for name, value in sent[0].headers.items()
        }
        found = other_services.dialect_of(made.meta.service_model.signing_name, names, "")
        assert found is EXPECTED[protocol], service


@pytest.mark.parametrize("size", [0, 22, 23, 24, 255, 256, 70_000])
def test_cbor_of_any_length(size):
    message = "ü" * (size // 2) + "x" * (size % 2)
    error = CloudError(Kind.UNSUPPORTED, message)
    headers = {"smithy-protocol": "rpc-v2-cbor"}
    told = other_services.refuse(error, "monitoring", "/", "", headers, "r-1")
    parser = botocore.parsers.create_parser("smithy-rpc-v2-cbor")
    answer = {"body": told.content, "headers": told.headers, "status_code": told.status}
    read = parser.parse(answer, None)["Error"]
    assert (read["Code"], read["Message"]) == ("UnsupportedOperation", message)


def test_another_service_is_refused_whatever_is_signed(world):
    """Also by a key that does not exist: that there is no such service is no secret."""
    request = AWSRequest("GET", "http://localhost/")
    SigV4Auth(Credentials("AKIDNOBODY", SECRET), "s3", REGION).add_auth(request)
    assert KEY_ID != "AKIDNOBODY"
    answer = world.http.get("/", headers=dict(request.headers))
    assert answer.status_code == 501 and b"<Code>NotImplemented</Code>" in answer.data
