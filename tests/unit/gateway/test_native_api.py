"""The JSON API: every path of the protos, parameters, errors, uploads and its own document."""

import hashlib
import http.client
import json

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from gateway.native import NativeApi
from protos.cloud.v1 import common_pb2, images_pb2, instances_pb2, quotas_pb2
from protos.errors import CloudError, Kind
from tests.unit.gateway.world import KEY_ID, REGION, SECRET


def ask(world, method, path, body=None):
    sent = b"" if body is None else json.dumps(body).encode()
    answer = world.send(method, f"http://localhost{path}", body=sent, service="pileus")
    assert answer.content_type == "application/json"
    return answer.status_code, answer.json


def last(service):
    return service.calls[-1]


def test_a_post_takes_its_message_as_the_body(world):
    world.clients.instances.answers["Run"] = instances_pb2.Reservation(
        reservation_id="r-1", instances=[instances_pb2.Instance(instance_id="i-1", vcpus=2)]
    )
    body = {"image_id": "ami-1", "min_count": 1, "maxCount": 1, "user_data": "aGk="}
    body |= {"scheduler_hints": {"same_host": "i-9"}}
    status, seen = ask(world, "POST", "/v1/instances", body)
    assert status == 200
    assert seen["instances"][0]["instance_id"] == "i-1"
    assert seen["instances"][0]["launch_time_ms"] == "0"  # every field is there
    request = last(world.clients.instances).request
    assert (request.image_id, request.max_count, request.user_data) == ("ami-1", 1, b"hi")
    assert request.scheduler_hints == {"same_host": "i-9"}


def test_a_get_takes_its_message_as_parameters(world):
    query = (
        "instance_ids=i-1&instance_ids=i-2&page.max_results=5&page.next_token=t"
        "&filters.1.name=a&filters.1.values=x&filters.1.values=y%20z&filters.0.name=b"
    )
    assert ask(world, "GET", f"/v1/instances?{query}")[0] == 200
    assert last(world.clients.instances).request == instances_pb2.DescribeInstancesRequest(
        instance_ids=["i-1", "i-2"],
        page=common_pb2.Page(max_results=5, next_token="t"),
        filters=[
            common_pb2.Filter(name="b"),
            common_pb2.Filter(name="a", values=["x", "y z"]),
        ],
    )
    ask(world, "GET", "/v1/instance-status?include_all_instances=true")
    assert last(world.clients.instances).request.include_all_instances


def test_paths_have_variables_and_verbs(world):
    ask(world, "GET", "/v1/instances/i-1/console")
    assert last(world.clients.instances).request.instance_id == "i-1"
    ask(world, "POST", "/v1/instances:start", {"instance_ids": ["i-1"]})
    assert last(world.clients.instances).method == "Start"
    ask(world, "PUT", "/v1/accounts/123/quotas/vcpus", {"limit": 7})
    assert last(world.clients.quotas).request == quotas_pb2.SetQuotaRequest(
        account_id="123", name="vcpus", limit=7
    )
    ask(world, "POST", "/v1/access-keys/AK1:setStatus", {"status": "Inactive"})
    assert last(world.clients.identity).request.access_key_id == "AK1"
    ask(world, "DELETE", "/v1/images/ami%2D1")
    assert last(world.clients.images).request.image_id == "ami-1"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/nowhere", None, 404),
        ("PUT", "/v1/instances", None, 405),
        ("GET", "/v1/instances?nonsense=1", None, 400),
        ("GET", "/v1/instances?page=1", None, 400),
        ("GET", "/v1/instances?page.max_results=many", None, 400),
        ("GET", "/v1/instances?filters.name=x", None, 400),
        ("GET", "/v1/instances?instance_ids.1=x", None, 400),
        ("GET", "/v1/instance-status?include_all_instances=1", None, 400),
        ("GET", "/v1/accounts/1/quotas?account_id=2", None, 400),
        ("POST", "/v1/instances", [1], 400),
        ("POST", "/v1/instances", {"nonsense": 1}, 400),
        ("POST", "/v1/instances", {"min_count": "x"}, 400),
        ("POST", "/v1/instances?min_count=1", {}, 400),
        ("PUT", "/v1/accounts/1/quotas/x", {"account_id": "2"}, 400),
    ],
)
def test_what_is_not_understood_is_refused(world, method, path, body, status):
    got, seen = ask(world, method, path, body)
    assert got == status
    assert set(seen["error"]) == {"kind", "message", "noun", "id", "reason", "request_id"}
    assert not world.clients.instances.calls


def test_a_body_that_is_no_json(world):
    answer = world.send("POST", "http://localhost/v1/instances", body=b"{", service="pileus")
    assert answer.status_code == 400


def test_errors_are_told_as_they_are(world):
    world.clients.instances.answers["Run"] = CloudError(
        Kind.QUOTA, "No more.", noun="vcpus", id="x", reason="r", because="never shown"
    )
    status, seen = ask(world, "POST", "/v1/instances", {})
    assert status == 429
    request_id = seen["error"].pop("request_id")
    assert request_id == last(world.clients.instances).caller.request_id
    assert seen["error"] == {
        "kind": "QUOTA",
        "message": "No more.",
        "noun": "vcpus",
        "id": "x",
        "reason": "r",
    }


def test_a_dry_run(world):
    assert ask(world, "POST", "/v1/instances?dry_run=true", {})[0] == 412
    assert last(world.clients.instances).caller.dry_run


def test_the_signature_must_be_for_pileus(world):
    answer = world.send("GET", "http://localhost/v1/instances", service="ec2")
    assert answer.content_type.startswith("text/xml")
    assert not world.clients.instances.calls


def test_every_rpc_for_people_has_a_route_and_services_ones_have_none():
    routes = NativeApi().routes
    names = {f"{route.client}.{route.method.name}" for route in routes}
    assert "instances.Run" in names
    assert "security_groups.AuthorizeIngress" in names
    assert "identity.GetSigningKey" not in names
    paths = [(route.verb, route.template) for route in routes]
    assert len(paths) == len(set(paths))


# -- open to everyone


def test_health(world):
    answer = world.http.get("/healthz")
    assert (answer.status_code, answer.json) == (200, {"status": "ok"})


def test_health_without_the_controller():
    from tests.unit.gateway.world import World

    times = iter([0.0, 100.0])
    world = World(monotonic=lambda: next(times))
    assert world.http.get("/healthz").status_code == 503


def test_the_api_describes_itself(world):
    answer = world.http.get("/v1/openapi.json")
    told = answer.json
    assert told["openapi"] == "3.1.0"
    run = told["paths"]["/v1/instances"]["post"]
    schema = run["requestBody"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/RunInstancesRequest"}
    described = told["components"]["schemas"]["RunInstancesRequest"]["properties"]
    assert described["image_id"] == {"type": "string"}
    assert described["user_data"] == {"type": "string", "contentEncoding": "base64"}
    names = {each["name"] for each in told["paths"]["/v1/instances"]["get"]["parameters"]}
    assert {"instance_ids", "filters.{n}.name", "page.max_results"} <= names
    for path, verbs in told["paths"].items():
        for operation in verbs.values():
            in_path = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
            assert all(f"{{{name}}}" in path for name in in_path)

    def references(node):
        if isinstance(node, dict):
            yield from (value for key, value in node.items() if key == "$ref")
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    known = {f"#/components/schemas/{name}" for name in told["components"]["schemas"]}
    assert set(references(told)) <= known


# -- uploads, through the real server


@pytest.fixture
def uploads(served, _served):
    world, _ = served
    port = int(_served[1].rsplit(":", 1)[1])
    world.clients.images.answers["Upload"] = images_pb2.UploadImageResponse(digest="sha256:x")

    def upload(body, promised=None, path="/v1/image-uploads?disk_format=qcow2", sign=True):
        promised = promised or hashlib.sha256(body).hexdigest()
        request = AWSRequest(
            "POST",
            f"http://127.0.0.1:{port}{path}",
            headers={"X-Amz-Content-SHA256": promised},
            data=b"",
        )
        if sign:
            SigV4Auth(Credentials(KEY_ID, SECRET), "pileus", REGION).add_auth(request)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("POST", path, body, dict(request.headers))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    return world, upload


def test_an_upload_is_streamed_in_pieces(uploads):
    world, upload = uploads
    body = bytes(range(256)) * 16_000  # four pieces
    assert upload(body)[0] == 200
    first, *pieces = last(world.clients.images).request
    assert (first.disk_format, first.size_bytes, first.chunk) == ("qcow2", len(body), b"")
    assert b"".join(piece.chunk for piece in pieces) == body
    assert len(pieces) == 4


def test_an_upload_that_is_not_what_was_signed_never_ends(uploads):
    world, upload = uploads
    status, seen = upload(b"x" * 3_000_000, promised=hashlib.sha256(b"other").hexdigest())
    assert (status, seen["error"]["kind"]) == (401, "UNAUTHENTICATED")
    assert not world.clients.images.calls  # the pretended controller reads to the end


def test_an_unsigned_payload_is_taken_on_loopback(uploads):
    _, upload = uploads
    assert upload(b"body", promised="UNSIGNED-PAYLOAD")[0] == 200


def test_an_upload_by_nobody_is_refused_before_it_is_read(uploads):
    world, upload = uploads
    status, seen = upload(b"x" * 100_000, sign=False)
    assert (status, seen["error"]["kind"]) == (401, "UNAUTHENTICATED")
    assert not world.clients.images.calls
