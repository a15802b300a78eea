"""How this host joins: a one-time token is exchanged for a certificate, kept in pki/.

    identity = enrol(pki, token, name, zone)    the one in pki/, or a new one from the controller

The token is "pileus-join:" + urlsafe base64 of JSON {"address", "ca", "secret"}. The key is made
and kept before the first call: should the answer get lost, the same request again gets the same
certificate. Called once, at the agent's start.
"""

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from protos.cloud.v1 import fleet_pb2, fleet_pb2_grpc
from protos.files import write_whole
from protos.private_files import make_folder
from protos.rpc import Client, TlsFiles, dns_name, peer_of_dns_name

if TYPE_CHECKING:
    from protos.cloud.v1.clients import EnrolmentClient

PREFIX = "pileus-join:"
JOIN_TIMEOUT_S = 15.0


class EnrolmentError(Exception):
    """This host has no identity and cannot get one; the message is for the operator."""


@dataclass(frozen=True)
class Identity:
    """Who this host is. ``controller`` is where the controller said it is, "host:port"."""

    host_id: str
    tls: TlsFiles
    controller: str


@dataclass(frozen=True)
class Token:
    address: str
    ca: bytes
    text: str


def enrol(
    pki: Path,
    token: str,
    name: str,
    zone: str,
    join: Callable[[Token, fleet_pb2.JoinRequest], fleet_pb2.JoinResponse] | None = None,
) -> Identity:
    """Raises EnrolmentError; CloudError (UNAVAILABLE) where the controller does not answer."""
    if not (pki / "host.crt").exists():
        if not token:
            raise EnrolmentError(f"no certificate in {pki}, and no join token is given")
        make_folder(pki)
        parsed = parse_token(token)
        request = fleet_pb2.JoinRequest(
            token=token,
            host_name=name,
            availability_zone=zone,
            certificate_request_pem=_certificate_request(_key(pki / "host.key"), name),
        )
        answer = (join or _join)(parsed, request)
        write_whole(pki / "ca.crt", answer.ca_pem)
        write_whole(pki / "controller", answer.controller_endpoint.encode())
        write_whole(pki / "host.crt", answer.certificate_pem)  # last: its presence says "enrolled"
    return read_identity(pki)


def read_identity(pki: Path) -> Identity:
    """The identity that was given to this host. Raises EnrolmentError where there is none."""
    files = TlsFiles(pki / "ca.crt", pki / "host.crt", pki / "host.key")
    try:
        certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        peer = peer_of_dns_name(names.value.get_values_for_type(x509.DNSName)[0])
    except (OSError, ValueError, IndexError, x509.ExtensionNotFound) as failure:
        raise EnrolmentError(f"{files.certificate} is no host's certificate: {failure}") from None
    if not peer.startswith("host:"):
        raise EnrolmentError(f"{files.certificate} is the certificate of {peer}, not of a host")
    endpoint = pki / "controller"
    controller = endpoint.read_text().strip() if endpoint.exists() else ""
    return Identity(peer.removeprefix("host:"), files, controller)


def parse_token(text: str) -> Token:
    """Raises EnrolmentError for what is no join token."""
    try:
        if not text.startswith(PREFIX):
            raise ValueError("it does not begin with " + PREFIX)
        content = json.loads(base64.urlsafe_b64decode(text.removeprefix(PREFIX)))
        return Token(content["address"], content["ca"].encode(), text)
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as failure:
        raise EnrolmentError(f"this is no join token: {failure}") from None


def _join(token: Token, request: fleet_pb2.JoinRequest) -> fleet_pb2.JoinResponse:
    """TLS proves the controller by the token's authority; the token proves us."""
    with grpc.secure_channel(
        token.address,
        grpc.ssl_channel_credentials(root_certificates=token.ca),
        options=[("grpc.ssl_target_name_override", dns_name("controller"))],
    ) as channel:
        client: EnrolmentClient = Client(channel, fleet_pb2_grpc.EnrolmentStub, JOIN_TIMEOUT_S)
        return client.Join(request)


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    if not path.exists():
        pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        write_whole(path, pem)
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise EnrolmentError(f"{path} is not the key that this agent made")
    return key


def _certificate_request(key: ec.EllipticCurvePrivateKey, name: str) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
