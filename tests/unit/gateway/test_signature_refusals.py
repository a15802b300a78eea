"""What no signature lets pass: docs/ec2.md's trap 19."""

import datetime

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from lxml import etree
from msgspec.structs import replace

from tests.unit.gateway.signing import (
    ASK,
    OLD,
    get,
    now_iso,
    outcome,
    presigned,
    signed_headers,
    version_2,
)
from tests.unit.gateway.world import CONFIG, KEY_ID, REGION, SECRET, World


def test_19_unknown_key_and_bad_signature_look_the_same(world):
    unknown = world.send("GET", f"http://localhost/?{ASK}", key_id="AKIDUNKNOWN")
    wrong = world.send("GET", f"http://localhost/?{ASK}", secret="guessed")
    assert outcome(unknown) == outcome(wrong) == (401, "AuthFailure")
    message = ".//{*}Message"
    assert etree.fromstring(unknown.data).findtext(message) == etree.fromstring(
        wrong.data
    ).findtext(message)


@pytest.mark.parametrize("service", ["sts", "iam"])
def test_19_iam_and_sts_tell_them_apart(world, service):
    unknown = world.send("POST", "http://localhost/", service=service, key_id="AKIDUNKNOWN")
    wrong = world.send("POST", "http://localhost/", service=service, secret="guessed")
    assert outcome(unknown) == (403, "InvalidClientTokenId")
    assert outcome(wrong) == (403, "SignatureDoesNotMatch")


def test_19_no_signature(world):
    assert outcome(world.http.get(f"/?{ASK}")) == (401, "AuthFailure")
    answer = world.http.get("/v1/instances")
    assert (answer.status_code, answer.json["error"]["kind"]) == (401, "UNAUTHENTICATED")


NOW = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("minutes", "status"), [(0, 200), (-14, 200), (14, 200), (-16, 400), (16, 400), (-60 * 24, 400)]
)
def test_19_a_date_off_by_more_than_some_minutes(minutes, status):
    world = World(now=NOW.timestamp)
    at = NOW + datetime.timedelta(minutes=minutes)
    headers = signed_headers("GET", f"http://localhost/?{ASK}", at=at)
    answer = get(world, f"http://localhost/?{ASK}", headers=headers)
    expected = (200, None) if status == 200 else (400, "RequestExpired")
    assert outcome(answer) == expected


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ({"region": "eu-west-1"}, (401, "AuthFailure")),
        ({"service": "s3"}, (401, "AuthFailure")),  # of other requests: test_other_services.py
        ({"service": "sts", "region": "us-east-1"}, (400, "InvalidAction")),
    ],
)
def test_19_the_scope_must_be_ours(world, scope, expected):
    headers = signed_headers("GET", f"http://localhost/?{ASK}", **scope)
    assert outcome(get(world, f"http://localhost/?{ASK}", headers=headers)) == expected


def test_19_the_scopes_date_must_be_the_requests(world):
    headers = signed_headers("GET", f"http://localhost/?{ASK}")
    today = headers["X-Amz-Date"][:8]
    headers["Authorization"] = headers["Authorization"].replace(today, "20200101", 1)
    assert outcome(get(world, f"http://localhost/?{ASK}", headers=headers))[0] == 401


def test_19_any_region_where_the_operator_says_so():
    world = World(replace(CONFIG, signing_region="any"))
    headers = signed_headers("GET", f"http://localhost/?{ASK}", region="made-up")
    assert get(world, f"http://localhost/?{ASK}", headers=headers).status_code == 200


def test_19_another_region_beside_its_own_where_the_operator_names_it():
    world = World(replace(CONFIG, signing_region="eucalyptus"))
    for region, status in ((REGION, 200), ("eucalyptus", 200), ("made-up", 401)):
        headers = signed_headers("GET", f"http://localhost/?{ASK}", region=region)
        assert get(world, f"http://localhost/?{ASK}", headers=headers).status_code == status


def test_19_iam_and_sts_are_signed_for_us_east_1_wherever_they_are():
    world = World(replace(CONFIG, region="hall-2"))
    url = "http://localhost/?Action=GetCallerIdentity&Version=2011-06-15"
    for region, status in (("hall-2", 200), ("us-east-1", 200), ("eu-west-1", 403)):
        headers = signed_headers("GET", url, service="sts", region=region)
        assert get(world, url, headers=headers).status_code == status


def test_19_a_session_token_is_refused(world):
    request = AWSRequest("GET", f"http://localhost/?{ASK}")
    SigV4Auth(Credentials(KEY_ID, SECRET, "token"), "ec2", REGION).add_auth(request)
    answer = get(world, f"http://localhost/?{ASK}", headers=dict(request.headers))
    assert outcome(answer) == (401, "AuthFailure")
    url = presigned(f"http://localhost/?{ASK}", credentials=Credentials(KEY_ID, SECRET, "token"))
    assert outcome(get(world, url)) == (401, "AuthFailure")


def test_19_an_empty_session_token_is_none():
    """Net::Amazon::EC2 sends one in each request that it signs by version 2."""
    world = World(replace(CONFIG, sigv2=True))
    signed = version_2({**OLD, "Timestamp": now_iso(), "SecurityToken": ""})
    assert world.http.get(f"/?{signed}").status_code == 200
    request = AWSRequest("GET", f"http://localhost/?{ASK}", {"X-Amz-Security-Token": ""})
    SigV4Auth(Credentials(KEY_ID, SECRET), "ec2", REGION).add_auth(request)
    answer = get(world, f"http://localhost/?{ASK}", headers=dict(request.headers))
    assert outcome(answer) == (200, None)


def test_19_an_amz_header_that_is_not_signed_is_refused(world):
    headers = signed_headers("GET", f"http://localhost/?{ASK}")
    headers["X-Amz-Target"] = "smuggled"
    answer = get(world, f"http://localhost/?{ASK}", headers=headers)
    assert outcome(answer) == (400, "IncompleteSignature")


@pytest.mark.parametrize(
    "authorization",
    [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=x",
        "AWS4-HMAC-SHA256 Credential=x/y, SignedHeaders=host, Signature=00",
        f"AWS4-HMAC-SHA256 Credential={KEY_ID}/20260131/us-east-1/ec2/aws4_request,"
        f" SignedHeaders=x-amz-date, Signature={'0' * 64}",
        f"AWS4-HMAC-SHA256 Credential={KEY_ID}/20260131/us-east-1/ec2/aws4_request,"
        f" SignedHeaders=host, Signature={'0' * 64}",
    ],
)
def test_19_half_a_signature_is_refused(world, authorization):
    answer = world.http.get(f"/?{ASK}", headers={"Authorization": authorization})
    assert outcome(answer) == (400, "IncompleteSignature")


@pytest.mark.parametrize("header", ["Basic QWxhZGRpbg==", "Bearer x", "AWS3 x", "\xff"])
def test_19_other_schemes_are_refused(world, header):
    answer = world.http.get(f"/?{ASK}", headers={"Authorization": header})
    assert outcome(answer) == (401, "AuthFailure")


@pytest.mark.parametrize("date", ["", "yesterday", "20261345T000000Z", "20260131T250000Z"])
def test_a_date_that_is_none(world, date):
    headers = signed_headers("GET", f"http://localhost/?{ASK}")
    headers["X-Amz-Date"] = date
    answer = get(world, f"http://localhost/?{ASK}", headers=headers)
    assert outcome(answer) == (400, "IncompleteSignature")
