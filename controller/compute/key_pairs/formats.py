"""SSH keys in every shape that EC2 takes and gives: made, read, written, fingerprinted.

Called by controller/compute/key_pairs/rules. Public keys are kept as OpenSSH's one line without a
comment; the key pair's name becomes the comment where the line leaves the house (EC2 does the
same). A private key exists only in the answer that made it.

    in  (import)  OpenSSH line | RFC 4716 "---- BEGIN SSH2 PUBLIC KEY ----" | PEM | base64 of DER
    out (create)  pem: PKCS#1 for rsa, OpenSSH's own for ed25519
                  ppk: PuTTY's, version 2, which every PuTTY reads

    fingerprint (EC2 User Guide, "Verify the fingerprint")
                  created rsa   SHA-1 of the private key's PKCS#8 DER, colons
                  imported rsa  MD5 of the public key's SubjectPublicKeyInfo DER, colons
                  ed25519       base64 of the SHA-256 of the SSH wire form, padded (ssh-keygen -l)
"""

import base64
import binascii
import hashlib
import hmac
import re
import struct
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from protos.errors import CloudError, Kind

RSA_BITS = 2048
# EC2's guide names 1024, 2048 and 4096; EC2 takes what lies between too, and 3072 is what
# ssh-keygen makes.
RSA_BITS_MIN, RSA_BITS_MAX = 1024, 4096
MAX_MATERIAL_BYTES = 16 * 1024

PublicKey = rsa.RSAPublicKey | ed25519.Ed25519PublicKey
PrivateKey = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True)
class ImportedKey:
    """``public_key`` is OpenSSH's line without a comment; ``key_type`` "rsa" or "ed25519"."""

    key_type: str
    public_key: str
    fingerprint: str


@dataclass(frozen=True)
class CreatedKey(ImportedKey):
    private_key: str


def create_key(key_type: str, key_format: str, comment: str) -> CreatedKey:
    """A new pair; key_type ("rsa", "ed25519") and key_format ("pem", "ppk") are checked already.

    The dice are OpenSSL's, never a simulation's: a private key from a seeded generator would be
    everybody's.
    """
    if key_type == "rsa":
        private: PrivateKey = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
        fingerprint = _colons(hashlib.sha1(_pkcs8(private), usedforsecurity=False).digest())
    else:
        private = ed25519.Ed25519PrivateKey.generate()
        fingerprint = _openssh_fingerprint(private.public_key())
    material = _pem(private) if key_format == "pem" else _ppk(private, comment)
    return CreatedKey(key_type, _openssh_line(private.public_key()), fingerprint, material)


def import_key(material: bytes) -> ImportedKey:
    """Reads a public key.

    Raises INVALID "key-format" for anything but rsa (1024 to 4096 bits) and ed25519.
    """
    if len(material) > MAX_MATERIAL_BYTES:
        raise _bad("The public key is longer than any key that can be imported")
    key = _read_public_key(material.strip())
    if isinstance(key, ed25519.Ed25519PublicKey):
        return ImportedKey("ed25519", _openssh_line(key), _openssh_fingerprint(key))
    if not isinstance(key, rsa.RSAPublicKey):
        raise _bad("Only RSA and ED25519 keys can be imported")
    if not RSA_BITS_MIN <= key.key_size <= RSA_BITS_MAX:
        raise _bad(f"An RSA key has 1024 to 4096 bits; this one has {key.key_size}")
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return ImportedKey(
        "rsa", _openssh_line(key), _colons(hashlib.md5(der, usedforsecurity=False).digest())
    )


def _read_public_key(material: bytes) -> object:
    try:
        if material.startswith(b"-----BEGIN"):
            return serialization.load_pem_public_key(material)
        if material.startswith(b"---- BEGIN SSH2"):
            return _from_wire_form(_rfc4716_body(material))
        if re.match(rb"(ssh-|ecdsa-|sk-)", material):
            return serialization.load_ssh_public_key(material.splitlines()[0])
        blob = base64.b64decode(re.sub(rb"\s", b"", material), validate=True)
        if blob.startswith(b"\x00\x00\x00"):  # the wire form's first length; DER starts with 0x30
            return _from_wire_form(blob)
        return serialization.load_der_public_key(blob)
    except (ValueError, UnsupportedAlgorithm, binascii.Error) as failure:
        raise _bad("Key is not in valid OpenSSH public key format", because=failure) from failure


def _rfc4716_body(material: bytes) -> bytes:
    """The wire form between the marks, without headers ("Comment: …", continued by a backslash)."""
    lines = [line.strip() for line in material.splitlines()]
    if not lines[-1].startswith(b"---- END SSH2"):
        raise ValueError("no end mark")
    body, in_header = [], False
    for line in lines[1:-1]:
        is_header = in_header or b":" in line
        in_header = is_header and line.endswith(b"\\")
        if not is_header:
            body.append(line)
    return base64.b64decode(b"".join(body), validate=True)


def _from_wire_form(blob: bytes) -> object:
    (length,) = struct.unpack(">I", blob[:4].rjust(4, b"\0"))
    algorithm = blob[4 : 4 + length]
    return serialization.load_ssh_public_key(algorithm + b" " + base64.b64encode(blob))


def _bad(message: str, because: object = None) -> CloudError:
    return CloudError(Kind.INVALID, message, noun="key-pair", reason="key-format", because=because)


def _openssh_line(key: PublicKey) -> str:
    return key.public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    ).decode()


def _wire_form(key: PublicKey) -> bytes:
    return base64.b64decode(_openssh_line(key).split()[1])


def _openssh_fingerprint(key: PublicKey) -> str:
    return base64.b64encode(hashlib.sha256(_wire_form(key)).digest()).decode()


def _colons(digest: bytes) -> str:
    return digest.hex(":")


def _pkcs8(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _pem(key: PrivateKey) -> str:
    shape = (
        serialization.PrivateFormat.TraditionalOpenSSL
        if isinstance(key, rsa.RSAPrivateKey)
        else serialization.PrivateFormat.OpenSSH
    )
    return key.private_bytes(
        serialization.Encoding.PEM, shape, serialization.NoEncryption()
    ).decode()


def _ppk(key: PrivateKey, comment: str) -> str:
    """PuTTY's private key file, version 2, unencrypted (PuTTY manual, appendix C.3)."""
    public = _wire_form(key.public_key())
    if isinstance(key, rsa.RSAPrivateKey):
        algorithm, numbers = "ssh-rsa", key.private_numbers()
        private = b"".join(map(_mpint, (numbers.d, numbers.p, numbers.q, numbers.iqmp)))
    else:
        algorithm = "ssh-ed25519"
        seed = key.private_bytes(
            serialization.Encoding.Raw,
            serialization.PrivateFormat.Raw,
            serialization.NoEncryption(),
        )
        private = _string(seed)
    encryption = "none"
    covered = b"".join(
        map(_string, (algorithm.encode(), encryption.encode(), comment.encode(), public, private))
    )
    mac_key = hashlib.sha1(b"putty-private-key-file-mac-key", usedforsecurity=False).digest()
    public_lines, private_lines = _folded(public), _folded(private)
    return "\r\n".join(
        [
            f"PuTTY-User-Key-File-2: {algorithm}",
            f"Encryption: {encryption}",
            f"Comment: {comment}",
            f"Public-Lines: {len(public_lines)}",
            *public_lines,
            f"Private-Lines: {len(private_lines)}",
            *private_lines,
            f"Private-MAC: {hmac.new(mac_key, covered, hashlib.sha1).hexdigest()}",
            "",
        ]
    )


def _string(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def _mpint(value: int) -> bytes:
    """RFC 4251's mpint of a number ≥ 0, with a zero byte where the top bit would be a sign."""
    return _string(value.to_bytes(value.bit_length() // 8 + 1, "big") if value else b"")


def _folded(blob: bytes) -> list[str]:
    text = base64.b64encode(blob).decode()
    return [text[start : start + 64] for start in range(0, len(text), 64)]
