"""Joining: one token, one certificate, and what a certificate says is decided by the controller."""

import base64
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from controller.hosts.authority import Authority
from controller.tables.hosts import Host, JoinToken
from protos.cloud.v1 import fleet_pb2, hosts_pb2
from protos.errors import Kind
from protos.rpc import Caller
from tests.harness import pki
from tests.unit.controller.cloud import Cloud
from tests.unit.controller.refusals import error_of

OPERATOR = Caller(account_id="000000000001", operator=True)


@pytest.fixture
def cloud(tmp_path):
    authority = pki.Authority.make(tmp_path / "pki")
    certificate = (tmp_path / "pki" / "ca.crt").read_bytes()
    key = (tmp_path / "pki" / "ca.key").read_bytes()
    made = Cloud(tmp_path, hosts=0)
    made.now_ms = int(authority.certificate.not_valid_before_utc.timestamp() * 1000) + 600_000
    made.authority = Authority(certificate, key, 3650, made.rng)
    return made.rebuild()


def request_pem(key=None, name="anything") -> bytes:
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    hashing = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashing)
    return request.public_bytes(serialization.Encoding.PEM)


def token(cloud, name="rack-1", **more) -> str:
    request = hosts_pb2.CreateJoinTokenRequest(host_name=name, **more)
    return cloud.client("Hosts").CreateJoinToken(request, caller=OPERATOR).token


def join(cloud, text, pem=None, **more) -> fleet_pb2.JoinResponse:
    request = fleet_pb2.JoinRequest(
        token=text, certificate_request_pem=pem or request_pem(), **more
    )
    return cloud.client("Enrolment", peer="").Join(request)


def content(text) -> dict:
    return json.loads(base64.urlsafe_b64decode(text.removeprefix("pileus-join:")))


def test_a_token_carries_all_that_a_host_needs(cloud):
    inside = content(token(cloud))
    assert inside["address"] == "127.0.0.1:7702"
    assert inside["ca"].startswith("-----BEGIN CERTIFICATE-----")
    with cloud.db.read() as session:
        row = session.one(JoinToken.select())
    assert inside["secret"] not in str(row), "only its digest is kept"


def test_a_join_makes_a_host_and_a_certificate_for_it(cloud):
    answer = join(cloud, token(cloud), host_name="rack-1", availability_zone="us-east-1a")
    certificate = x509.load_pem_x509_certificate(answer.certificate_pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [f"{answer.host_id}.hosts.pileus"]
    authority = x509.load_pem_x509_certificate(answer.ca_pem)
    certificate.verify_directly_issued_by(authority)
    assert certificate.not_valid_after_utc <= authority.not_valid_after_utc
    assert answer.controller_endpoint == "127.0.0.1:7701"
    with cloud.db.read() as session:
        assert session.one(Host.select()).name == "rack-1"


def test_what_a_request_says_of_itself_does_not_count(cloud):
    answer = join(cloud, token(cloud), request_pem(name="gateway.pileus"))
    certificate = x509.load_pem_x509_certificate(answer.certificate_pem)
    assert b"gateway" not in certificate.public_bytes(serialization.Encoding.DER)


def test_a_lost_answer_costs_nothing_and_a_used_token_opens_nothing(cloud):
    text, pem = token(cloud), request_pem()
    first = join(cloud, text, pem)
    cloud.now_ms += 10 * 3_600_000
    assert join(cloud, text, pem) == first, "the same request again, even later"
    other = error_of(join, cloud, text, request_pem())
    assert (other.kind, other.noun) == (Kind.UNAUTHENTICATED, "host")


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": "pileus-join:!!!"},
        {"text": "nonsense"},
        {"host_name": "rack-2"},
        {"availability_zone": "us-east-1b"},
    ],
)
def test_what_is_not_the_tokens_is_refused(cloud, wrong):
    text = token(cloud)
    assert error_of(join, cloud, **({"text": text} | wrong)).kind is Kind.UNAUTHENTICATED
    assert join(cloud, text)


def test_tokens_expire_and_are_forgotten(cloud):
    text = token(cloud, valid_s=60)
    cloud.now_ms += 61_000
    assert error_of(join, cloud, text).kind is Kind.UNAUTHENTICATED
    cloud.tasks(later_ms=25 * 3_600_000)
    with cloud.db.read() as session:
        assert session.rows(JoinToken.select()) == []


def test_a_host_that_lost_its_state_joins_under_its_name_and_keeps_its_id(cloud):
    first = join(cloud, token(cloud))
    assert join(cloud, token(cloud)).host_id == first.host_id
    assert join(cloud, token(cloud, "rack-2")).host_id != first.host_id


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"not PEM",
        b"x" * 20_000,
        request_pem(ec.generate_private_key(ec.SECP192R1())),
        request_pem(rsa.generate_private_key(65537, 1024)),
        request_pem(ed25519.Ed25519PrivateKey.generate()),
    ],
    ids=["empty", "text", "long", "short-ec", "short-rsa", "ed25519"],
)
def test_requests_that_cannot_be_signed_use_up_no_token(cloud, pem):
    text = token(cloud)
    request = fleet_pb2.JoinRequest(token=text, certificate_request_pem=pem)
    assert error_of(cloud.client("Enrolment", peer="").Join, request).kind is Kind.INVALID
    assert join(cloud, text)


@pytest.mark.parametrize(
    "wrong",
    [
        {"host_name": ""},
        {"host_name": "a/b"},
        {"host_name": "x" * 64},
        {"availability_zone": "mars-1a"},
        {"valid_s": -1},
        {"valid_s": 10**9},
    ],
)
def test_tokens_that_cannot_be(cloud, wrong):
    fields = {"host_name": "rack-1"} | wrong
    request = hosts_pb2.CreateJoinTokenRequest(**fields)
    act = cloud.client("Hosts").CreateJoinToken
    assert error_of(act, request, caller=OPERATOR).kind is Kind.INVALID


def test_without_the_authoritys_key_nobody_joins(cloud):
    cloud.authority = None
    cloud.rebuild()
    assert error_of(token, cloud).kind is Kind.UNSUPPORTED


def test_readiness_says_what_is_missing(cloud):
    def ask():
        answer = cloud.client("Hosts").Readiness(hosts_pb2.ReadinessRequest(), caller=OPERATOR)
        return answer.ready, list(answer.reasons)

    assert ask() == (False, ["no host is up (none has joined)"])
    join(cloud, token(cloud))
    assert ask() == (False, ["no host is up (1 silent)"])
    cloud.add_host(1)
    assert ask() == (True, [])
    hosts = cloud.client("Hosts").List(hosts_pb2.ListHostsRequest(), caller=OPERATOR).hosts
    assert {host.health for host in hosts} == {"up", "silent"}
