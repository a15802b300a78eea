"""What is signed, as botocore signs it: docs/ec2.md's traps 17, 18 and 20."""

import datetime
import hashlib
import hmac

import pytest

from gateway.signatures.sigv4 import canonical_path, canonical_query
from tests.unit.gateway.signing import (
    ASK,
    FORM,
    ec2s_outcome,
    get,
    outcome,
    presigned,
    signed_headers,
)
from tests.unit.gateway.world import KEY_ID, REGION, SECRET, signing_key

# -- 17: the body's hash


def test_17_the_body_is_hashed_as_it_was_sent(world):
    # Parsed and built anew, this form would have another order, other escapes and no empty field.
    body = b"Version=2016-11-15&Action=DescribeVpcs&VpcId.1=vpc%2d1"
    answer = world.send("POST", "http://localhost/", body=body, headers=FORM)
    assert answer.status_code == 200
    assert world.clients.networks.calls[-1].request.vpc_ids == ["vpc-1"]


def test_17_another_body_than_the_signed_one_is_refused(world):
    headers = signed_headers("POST", "http://localhost/", ASK.encode(), FORM)
    answer = world.http.post("/", data=f"{ASK}&VpcId.1=vpc-2".encode(), headers=headers)
    assert outcome(answer) == (401, "AuthFailure")


def test_17_a_promised_hash_must_be_the_bodys(world):
    promised = {**FORM, "X-Amz-Content-SHA256": hashlib.sha256(b"other").hexdigest()}
    headers = signed_headers("POST", "http://localhost/", ASK.encode(), promised)
    assert outcome(world.http.post("/", data=ASK.encode(), headers=headers))[0] == 401


def test_17_unsigned_payload_over_tls_only(world):
    unsigned = {**FORM, "X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}
    headers = signed_headers("POST", "http://localhost/", ASK.encode(), unsigned)

    def post(scheme):
        return world.http.post(
            "/", data=ASK.encode(), headers=headers, base_url=f"{scheme}://localhost"
        )

    assert outcome(post("http")) == (401, "AuthFailure")
    assert post("https").status_code == 200


# -- 18: presigned (version 2 is in test_signature_version_2.py)


def test_18_presigned(world):
    assert get(world, presigned(f"http://localhost/?{ASK}&VpcId.1=a%20b")).status_code == 200
    assert world.clients.networks.calls[-1].request.vpc_ids == ["a b"]


def test_18_presigned_and_changed(world):
    url = presigned(f"http://localhost/?{ASK}")
    assert outcome(get(world, url + "&VpcId.1=vpc-1")) == (401, "AuthFailure")


def test_18_presigned_for_sts_as_tools_do(world):
    url = presigned("http://localhost/?Action=GetCallerIdentity&Version=2011-06-15", service="sts")
    assert get(world, url).status_code == 200


@pytest.mark.parametrize("expires", [0, -5, 604_801, 10_000_000])
def test_18_presigned_for_too_long_or_never(world, expires):
    url = presigned(f"http://localhost/?{ASK}", expires=expires)
    assert ec2s_outcome(get(world, url)) == (400, "IncompleteSignature")


def test_18_presigned_without_the_host(world):
    url = presigned(f"http://localhost/?{ASK}").replace("SignedHeaders=host", "SignedHeaders=date")
    assert ec2s_outcome(get(world, url)) == (400, "IncompleteSignature")


@pytest.mark.parametrize("service", ["s3", "rds", "EC2", "lambda"])
def test_18_an_action_of_ec2s_presigned_for_another_service(world, service):
    url = presigned(f"http://localhost/?{ASK}", service=service)
    assert ec2s_outcome(get(world, url)) == (401, "AuthFailure")


# -- canonical forms that botocore's own requests above do not reach


def test_canonical_forms():
    assert canonical_path("") == canonical_path("/") == "/"
    assert canonical_path("/a//b/./c/../d/") == "/a/b/d/"
    assert canonical_path("/v1/instances:start") == "/v1/instances%3Astart"
    assert canonical_path("/a%20b") == "/a%2520b"
    assert canonical_query("b=2&a=x+y&c&a=%7e&X-Amz-Signature=0") == "a=x%20y&a=~&b=2&c="
    assert canonical_query("") == ""


# -- 20: keys


def test_20_no_identity_query_for_each_request(world):
    for _ in range(5):
        assert world.send("GET", f"http://localhost/?{ASK}").status_code == 200
    asked = [each.method for each in world.clients.identity.calls]
    assert asked.count("GetSigningKey") == 1


def test_a_date_header_will_do(world):
    """Where a client signs Date, and no X-Amz-Date."""
    now = datetime.datetime.now(datetime.UTC)
    written = now.strftime("%a, %d %b %Y %H:%M:%S GMT")
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    lines = ["GET", "/", "Action=DescribeVpcs&Version=2016-11-15", f"date:{written}"]
    lines += ["host:localhost", "", "date;host", hashlib.sha256(b"").hexdigest()]
    scope = f"{stamp[:8]}/{REGION}/ec2/aws4_request"
    canonical = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{canonical}"
    key = signing_key(SECRET, stamp[:8], REGION, "ec2")
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={KEY_ID}/{scope}, SignedHeaders=date;host,"
        f" Signature={signature}"
    )
    headers = {"Authorization": authorization, "Date": written}
    assert get(world, f"http://localhost/?{ASK}", headers=headers).status_code == 200
