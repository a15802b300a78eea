"""Who signed what: docs/ec2.md's traps 16 to 20, with botocore as the client that signs."""

import base64
import datetime
import hashlib
import hmac
from urllib.parse import quote, urlencode

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from lxml import etree
from msgspec.structs import replace

from gateway.signatures import HostPolicy
from gateway.signatures.sigv4 import canonical_path, canonical_query
from protos.cloud.v1 import regions_pb2
from tests.unit.gateway.world import CONFIG, KEY_ID, REGION, SECRET, World, signing_key

ASK = "Action=DescribeVpcs&Version=2016-11-15"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ME = Credentials(KEY_ID, SECRET)


def outcome(answer):
    """(status, code); code None for success."""
    root = etree.fromstring(answer.data)
    code = root.findtext(".//{*}Code")
    return answer.status_code, code


def presigned(url, *, service="ec2", expires=60, credentials=ME, region=REGION):
    request = AWSRequest("GET", url)
    SigV4QueryAuth(credentials, service, region, expires=expires).add_auth(request)
    return request.url


def get(world, url, host=None, headers=None, environ=None):
    """Sends what was signed, byte for byte, to the Host that is wanted."""
    _, _, rest = url.partition("://")
    meant, _, path = rest.partition("/")
    return world.http.get(
        f"/{path}",
        base_url=f"http://{host or meant}",
        headers=headers,
        environ_overrides=environ,
    )


def signed_headers(method, url, body=b"", headers=None, service="ec2", region=REGION, at=None):
    request = AWSRequest(method, url, data=body, headers=headers or {})
    if at is not None:
        auth = Dated(ME, service, region)
        auth.at = at
    else:
        auth = SigV4Auth(ME, service, region)
    auth.add_auth(request)
    return dict(request.headers)


class Dated(SigV4Auth):
    """Signs as of another moment than now."""

    at = None

    def add_auth(self, request):
        request.context["timestamp"] = self.at.strftime("%Y%m%dT%H%M%SZ")
        request.headers["X-Amz-Date"] = request.context["timestamp"]
        canonical = self.canonical_request(request)
        signature = self.signature(self.string_to_sign(request, canonical), request)
        self._inject_signature_to_request(request, signature)


# -- 16: hosts


@pytest.mark.parametrize(
    "host",
    [
        "cloud.example.com",
        "cloud.example.com:8773",
        "127.0.0.1:8773",
        "[::1]:8773",
        "[2001:db8::1]",
    ],
)
def test_16_the_host_is_signed_with_its_port(world, host):
    assert world.send("GET", f"http://{host}/?{ASK}").status_code == 200


def test_16_a_signature_for_another_host_is_none(world):
    headers = signed_headers("GET", f"http://one.example/?{ASK}")
    answer = get(world, f"http://two.example/?{ASK}", headers=headers)
    assert outcome(answer) == (401, "AuthFailure")


@pytest.mark.parametrize(
    ("signed", "sent"),
    [
        ("cloud.example.com", "cloud.example.com:443"),
        ("cloud.example.com:443", "cloud.example.com"),
        ("cloud.example.com", "cloud.example.com:8773"),
        ("[::1]", "[::1]:8773"),
    ],
)
def test_16_a_port_more_or_less_does_no_harm(world, signed, sent):
    headers = signed_headers("GET", f"http://{signed}/?{ASK}", headers={"Host": signed})
    headers.pop("Host", None)
    assert get(world, f"http://{sent}/?{ASK}", headers=headers).status_code == 200


def test_16_behind_a_proxy_that_ends_tls():
    world = World(replace(CONFIG, trusted_proxies=("10.0.0.0/8",)))
    headers = signed_headers("GET", f"https://cloud.example.com/?{ASK}")
    proxied = {
        **headers,
        "X-Forwarded-Host": "cloud.example.com",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Port": "443",
    }
    inside = f"http://10.1.2.3:8773/?{ASK}"
    trusted, untrusted = {"REMOTE_ADDR": "10.9.9.9"}, {"REMOTE_ADDR": "192.0.2.1"}
    assert get(world, inside, headers=proxied, environ=trusted).status_code == 200
    assert get(world, inside, headers=proxied, environ=untrusted).status_code == 401


@pytest.mark.parametrize(
    ("forwarded", "scheme", "endpoint"),
    [
        ("cloud.example.com", "https", "cloud.example.com"),
        ("cloud.example.com:443", "https", "cloud.example.com"),
        ("cloud.example.com:8443", "https", "cloud.example.com:8443"),
        ("cloud.example.com:80", "http", "cloud.example.com"),
        ("cloud.example.com:443", "http", "cloud.example.com:443"),
        ("[2001:db8::1]:8773", "http", "[2001:db8::1]:8773"),
    ],
)
def test_16_a_regions_endpoint_is_what_its_caller_reaches(forwarded, scheme, endpoint):
    world = World(replace(CONFIG, trusted_proxies=("10.0.0.0/8",)))
    world.clients.regions.answers["Describe"] = regions_pb2.DescribeRegionsResponse(
        regions=[regions_pb2.Region(region_name=REGION)]
    )
    ask = "Action=DescribeRegions&Version=2016-11-15"
    proxied = {"X-Forwarded-Host": forwarded, "X-Forwarded-Proto": scheme}
    headers = signed_headers("GET", f"{scheme}://{forwarded}/?{ask}") | proxied
    url, proxy = f"http://10.1.2.3:8773/?{ask}", {"REMOTE_ADDR": "10.9.9.9"}
    answer = get(world, url, headers=headers, environ=proxy)
    assert etree.fromstring(answer.data).findtext(".//{*}regionEndpoint") == endpoint
    assert world.clients.regions.calls[-1].request.endpoint == endpoint, "filters compare it"


def test_16_names_may_be_configured():
    world = World(replace(CONFIG, public_hosts=("cloud.example.com:9000",)))
    headers = signed_headers("GET", f"http://cloud.example.com:9000/?{ASK}")
    assert get(world, f"http://10.1.2.3/?{ASK}", headers=headers).status_code == 200


def test_plausible_hosts_are_tried_the_likeliest_first():
    hosts = HostPolicy(port=8773).plausible({"host": "a.example:1"}, trusted=False)
    assert hosts[:2] == ("a.example:1", "a.example")
    assert len(set(hosts)) == len(hosts)


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


# -- 18: presigned, and version 2


def test_18_presigned(world):
    assert get(world, presigned(f"http://localhost/?{ASK}&VpcId.1=a%20b")).status_code == 200
    assert world.clients.networks.calls[-1].request.vpc_ids == ["a b"]


def test_18_presigned_and_changed(world):
    url = presigned(f"http://localhost/?{ASK}")
    assert outcome(get(world, url + "&VpcId.1=vpc-1")) == (401, "AuthFailure")


def test_18_presigned_for_sts_as_tools_do(world):
    url = presigned("http://localhost/?Action=GetCallerIdentity&Version=2011-06-15", service="sts")
    assert get(world, url).status_code == 200


@pytest.mark.parametrize("expires", [0, 604_801])
def test_18_presigned_for_too_long_or_never(world, expires):
    url = presigned(f"http://localhost/?{ASK}", expires=expires)
    assert outcome(get(world, url)) == (400, "IncompleteSignature")


def version_2(parameters, *, method="GET", host="localhost", path="/", algorithm="HmacSHA256"):
    given = {
        "AWSAccessKeyId": KEY_ID,
        "SignatureVersion": "2",
        "SignatureMethod": algorithm,
        **parameters,
    }
    query = "&".join(
        f"{quote(name, safe='-_.~')}={quote(given[name], safe='-_.~')}" for name in sorted(given)
    )
    text = f"{method}\n{host}\n{path}\n{query}".encode()
    digest = {"HmacSHA1": "sha1", "HmacSHA256": "sha256"}[algorithm]
    signature = base64.b64encode(hmac.new(SECRET.encode(), text, digest).digest()).decode()
    return urlencode({**given, "Signature": signature})


def now_iso(**offset):
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(**offset)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


OLD = {"Action": "DescribeVpcs", "Version": "2010-08-31"}


@pytest.mark.parametrize("algorithm", ["HmacSHA1", "HmacSHA256"])
def test_18_version_2_where_it_is_switched_on(algorithm):
    world = World(replace(CONFIG, sigv2=True))
    for time in ({"Timestamp": now_iso()}, {"Expires": now_iso(minutes=5)}):
        signed = version_2({**OLD, **time}, algorithm=algorithm)
        assert world.http.get(f"/?{signed}").status_code == 200
        signed = version_2({**OLD, **time}, method="POST", algorithm=algorithm)
        answer = world.http.post("/", data=signed.encode(), headers=FORM)
        assert answer.status_code == 200
        assert b"doc/2010-08-31/" in answer.data


def test_18_version_2_for_a_path_and_port_of_old_drivers():
    world = World(replace(CONFIG, sigv2=True))
    path = "/services/Eucalyptus"
    signed = version_2({**OLD, "Timestamp": now_iso()}, path=path)
    answer = world.http.get(f"{path}?{signed}", base_url="http://localhost:8773")
    assert answer.status_code == 200


def test_18_version_2_tampered_with():
    world = World(replace(CONFIG, sigv2=True))
    signed = version_2({**OLD, "Timestamp": now_iso()})
    assert outcome(world.http.get(f"/?{signed}&VpcId.1=vpc-1")) == (401, "AuthFailure")


@pytest.mark.parametrize(
    "time",
    [
        {"Timestamp": now_iso(hours=-1)},
        {"Timestamp": now_iso(hours=1)},
        {"Expires": now_iso(hours=-1)},
    ],
)
def test_18_version_2_out_of_time(time):
    world = World(replace(CONFIG, sigv2=True))
    answer = world.http.get(f"/?{version_2({**OLD, **time})}")
    assert outcome(answer) == (400, "RequestExpired")


def test_18_version_2_is_off_by_default(world):
    answer = world.http.get(f"/?{version_2({**OLD, 'Timestamp': now_iso()})}")
    assert outcome(answer) == (401, "AuthFailure")
    assert not [each for each in world.clients.identity.calls if each.method == "VerifySigV2"]


# -- 19: what must not pass


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
        ({"service": "s3"}, (501, "NotImplemented")),  # test_other_services.py has more
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


@pytest.mark.parametrize("date", ["", "yesterday", "20261345T000000Z", "20260131T250000Z"])
def test_a_date_that_is_none(world, date):
    headers = signed_headers("GET", f"http://localhost/?{ASK}")
    headers["X-Amz-Date"] = date
    answer = get(world, f"http://localhost/?{ASK}", headers=headers)
    assert outcome(answer) == (400, "IncompleteSignature")
