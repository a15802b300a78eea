"""Certificates: the cloud's own authority and what it signs for controller, gateway and endpoint.

Called by ``up``, also to renew. Hosts' certificates are signed by the controller when they join.
EC P-256, names as protos/rpc.py checks them.
"""

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cli.cloud import Cloud
from cli.errors import CliError
from cli.layout import Layout
from protos.files import write_whole
from protos.rpc import dns_name

AUTHORITY_DAYS, CERTIFICATE_DAYS = 3650, 825
RENEWED_BEFORE = timedelta(days=60)
BACKDATED = timedelta(minutes=5)  # clocks of servers differ


@dataclass(frozen=True)
class Names:
    """Who a certificate is for."""

    dns: Sequence[str]
    addresses: Sequence[str] = ()

    def extension(self) -> x509.SubjectAlternativeName:
        return x509.SubjectAlternativeName(
            [
                *(x509.DNSName(name) for name in self.dns),
                *(x509.IPAddress(ipaddress.ip_address(one)) for one in self.addresses),
            ]
        )


def ensure(layout: Layout, cloud: Cloud, now: datetime) -> bool:
    """Makes what is missing, runs out soon or has other names; answers whether it made any."""
    made = False
    if not layout.ca.exists():
        _make_authority(layout, now)
        made = True
    layout.ca.chmod(0o644)  # other users' clients know the endpoint by it
    certificate = x509.load_pem_x509_certificate(layout.ca.read_bytes())
    key = _read_key(layout.pki / "ca.key")
    for file, names in _wanted(cloud).items():
        if _is_good(layout.pki / f"{file}.crt", names, certificate, now):
            continue
        _issue(layout.pki / file, names, certificate, key, now)
        made = True
    return made


def _wanted(cloud: Cloud) -> dict[str, Names]:
    endpoint_addresses = dict.fromkeys(
        address
        for address in ("127.0.0.1", "::1", cloud.listen, cloud.address)
        if not ipaddress.ip_address(address).is_unspecified
    )
    host = socket.gethostname().lower()
    names = [name for name in ("localhost", host) if name.isascii() and len(name) < 64]
    return {
        "controller": Names([dns_name("controller")]),
        "gateway": Names([dns_name("gateway")]),
        "endpoint": Names(list(dict.fromkeys(names)), list(endpoint_addresses)),
    }


def _make_authority(layout: Layout, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Pileus authority {layout.tag}")])
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    builder = _builder(name, name, key.public_key(), now, timedelta(days=AUTHORITY_DAYS))
    certificate = (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write_key(layout.pki / "ca.key", key)
    _write_certificate(layout.ca, certificate)  # last: its presence says that the key is there


def _issue(
    stem: Path,
    names: Names,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names.dns[0])])
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    certificate = (
        _builder(
            subject, authority.subject, key.public_key(), now, timedelta(days=CERTIFICATE_DAYS)
        )
        .add_extension(names.extension(), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(issuer, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    _write_key(stem.with_suffix(".key"), key)
    _write_certificate(stem.with_suffix(".crt"), certificate)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    now: datetime,
    valid: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + valid)
    )


def _is_good(path: Path, names: Names, authority: x509.Certificate, now: datetime) -> bool:
    if not path.exists() or not path.with_suffix(".key").exists():
        return False
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError:  # torn: it is issued anew
        return False
    has = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    lasts = certificate.not_valid_after_utc - now > RENEWED_BEFORE
    return lasts and has == names.extension() and certificate.issuer == authority.subject


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError) as failure:
        raise CliError(f"the authority's key {path} cannot be read: {failure}") from failure
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CliError(f"the authority's key {path} is not of an elliptic curve")
    return key


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    write_whole(path, pem)


def _write_certificate(path: Path, certificate: x509.Certificate) -> None:
    write_whole(path, certificate.public_bytes(serialization.Encoding.PEM))


def now_utc() -> datetime:
    return datetime.now(UTC)
