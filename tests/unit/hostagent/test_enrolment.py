"""Joining: a token becomes a certificate, once, whatever gets lost on the way."""

import base64
import json

import pytest
from cryptography import x509

from hostagent.enrolment import EnrolmentError, enrol, parse_token, read_identity
from protos.cloud.v1 import fleet_pb2
from protos.errors import CloudError, Kind
from tests.unit.hostagent.cloud import Authority

HOST = "h-00000000000000001"


def token(**content) -> str:
    content = {"address": "c:7702", "ca": "PEM", "secret": "s", **content}
    return "pileus-join:" + base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


class Controller:
    """The controller's join port. ``lost`` answers get lost."""

    def __init__(self, lost: int = 0):
        self.authority, self.lost, self.requests = Authority(), lost, []

    def join(self, parsed, request):
        self.requests.append(request)
        if self.lost:
            self.lost -= 1
            raise CloudError(Kind.UNAVAILABLE, "lost")
        csr = x509.load_pem_x509_csr(request.certificate_request_pem)
        return fleet_pb2.JoinResponse(
            host_id=HOST,
            certificate_pem=self.authority.sign(csr.public_key(), f"host:{HOST}"),
            ca_pem=self.authority.pem,
            controller_endpoint="c:7701",
        )


def test_a_host_joins_once(tmp_path):
    controller = Controller()
    identity = enrol(tmp_path / "pki", token(), "host-1", "zone-a", controller.join)
    assert (identity.host_id, identity.controller) == (HOST, "c:7701")
    assert (controller.requests[0].host_name, controller.requests[0].availability_zone) == (
        "host-1",
        "zone-a",
    )
    assert enrol(tmp_path / "pki", "", "host-1", "", controller.join) == identity
    assert len(controller.requests) == 1
    assert identity.tls.key.stat().st_mode & 0o077 == 0


def test_a_lost_answer_is_asked_for_again_with_the_same_key(tmp_path):
    controller = Controller(lost=1)
    with pytest.raises(CloudError):
        enrol(tmp_path / "pki", token(), "host-1", "", controller.join)
    enrol(tmp_path / "pki", token(), "host-1", "", controller.join)
    keys = [
        x509.load_pem_x509_csr(request.certificate_request_pem).public_key()
        for request in controller.requests
    ]
    assert keys[0] == keys[1]


@pytest.mark.parametrize(
    "text", ["", "secret", "pileus-join:", "pileus-join:%%%", "pileus-join:e30=", token(ca=3)]
)
def test_what_is_no_token_says_so(text):
    with pytest.raises(EnrolmentError, match="no join token"):
        parse_token(text)


def test_another_services_certificate_is_not_ours(tmp_path):
    files = Authority().files(tmp_path, "gateway")
    files.certificate.rename(tmp_path / "host.crt")
    with pytest.raises(EnrolmentError, match="not of a host"):
        read_identity(tmp_path)
