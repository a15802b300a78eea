"""The certificate authority: signs the certificate of a host that may join.

Called by hosts/enrolment. The authority's own certificate and key are files made by ``pileus
up``; the controller alone holds the key. From a request only the public key is taken: names and
lifetime are decided here.
"""

import random
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from protos.errors import CloudError, Kind
from protos.rpc import dns_name

MAX_REQUEST_BYTES = 16 * 1024
BACKDATED = timedelta(minutes=5)  # clocks of servers differ
SMALLEST_RSA_BITS = 2048


class Authority:
    def __init__(self, certificate_pem: bytes, key_pem: bytes, valid_days: int, rng: random.Random):
        self.certificate_pem = certificate_pem
        self._certificate = x509.load_pem_x509_certificate(certificate_pem)
        key = serialization.load_pem_private_key(key_pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise ValueError("the authority's key is neither EC nor RSA")
        self._key = key
        self._valid, self._rng = timedelta(days=valid_days), rng

    def sign(self, request_pem: bytes, peer: str, now_ms: int) -> bytes:
        """A certificate (PEM) for ``peer`` ("host:h-…") with the request's public key, for both
        ends of TLS.

        Raises INVALID for a request that is unreadable, not signed by its key, or of a weak key.
        """
        public_key = _public_key(request_pem)
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        name = dns_name(peer)
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._certificate.subject)
            .public_key(public_key)
            .serial_number(self._rng.getrandbits(158) + 1)
            .not_valid_before(now - BACKDATED)
            .not_valid_after(min(now + self._valid, self._certificate.not_valid_after_utc))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(issuer, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)


def _public_key(request_pem: bytes) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
    if len(request_pem) > MAX_REQUEST_BYTES:
        raise _refused("it is too long")
    try:
        request = x509.load_pem_x509_csr(request_pem)
        public_key = request.public_key()
        sound = request.is_signature_valid
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as unreadable:
        raise _refused("it is unreadable", unreadable) from unreadable
    if not sound:
        raise _refused("it is not signed by its own key")
    if isinstance(public_key, rsa.RSAPublicKey) and public_key.key_size >= SMALLEST_RSA_BITS:
        return public_key
    if isinstance(public_key, ec.EllipticCurvePublicKey) and public_key.key_size >= 256:
        return public_key
    raise _refused("its key is neither EC (256 bits or more) nor RSA (2048 bits or more)")


def _refused(why: str, because: object = None) -> CloudError:
    return CloudError(
        Kind.INVALID,
        f"The certificate request is refused: {why}.",
        noun="parameter",
        because=because,
    )
