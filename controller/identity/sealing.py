"""Sealing of secrets at rest with the operator's master key (AES-256-GCM).

Called by identity/rules. Sealed form: one byte with the master key's number, 12 bytes of nonce,
ciphertext with tag. What a secret belongs to (the access key id) is bound in as associated data, so
that a sealed secret copied to another row does not open.

The master key file holds one key a line, ``<number>:<base64 of 32 bytes>``, numbers 0 to 255; the
last line seals, all lines open: to rotate, append a line and run ``seal_again`` (docs in README). A
file of exactly 32 raw bytes is key 0.
"""

import base64
import binascii
import random
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protos.files import write_new

KEY_BYTES, NONCE_BYTES = 32, 12


class SealError(Exception):
    """The master key is missing or unreadable, or is not the one that sealed this."""


class MasterKey:
    """Seals with the newest key, opens with any of ``keys`` (number → 32 bytes, in the order of the
    file)."""

    def __init__(self, keys: Mapping[int, bytes], rng: random.Random):
        if not keys or any(len(key) != KEY_BYTES for key in keys.values()):
            raise SealError("a master key is 32 bytes")
        self._ciphers = {number: AESGCM(key) for number, key in keys.items()}
        self._newest, self._rng = list(keys)[-1], rng

    def seal(self, secret: str, owner: str) -> bytes:
        nonce = self._rng.randbytes(NONCE_BYTES)
        sealed = self._ciphers[self._newest].encrypt(nonce, secret.encode(), owner.encode())
        return bytes([self._newest]) + nonce + sealed

    def open(self, sealed: bytes, owner: str) -> str:
        """The secret. Raises SealError where the key that sealed it is not here, or the row was
        tampered with."""
        sealed = bytes(sealed)
        cipher = self._ciphers.get(sealed[0])
        if cipher is None:
            raise SealError(f"sealed with master key {sealed[0]}, which is not in the file")
        nonce, rest = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        try:
            return cipher.decrypt(nonce, rest, owner.encode()).decode()
        except InvalidTag as wrong:
            raise SealError(f"the sealed secret of {owner} does not open") from wrong

    def is_newest(self, sealed: bytes) -> bool:
        return bytes(sealed)[0] == self._newest


def read_master_key(path: Path, rng: random.Random) -> MasterKey:
    """The master key of a file. Raises SealError."""
    try:
        content = path.read_bytes()
    except OSError as failure:
        raise SealError(f"the master key cannot be read: {failure}") from failure
    if len(content) == KEY_BYTES:
        return MasterKey({0: content}, rng)
    keys = {}
    for line in content.decode("ascii", "replace").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        number, _, encoded = line.partition(":")
        try:
            keys[bytes([int(number)])[0]] = base64.b64decode(encoded, validate=True)
        except (ValueError, binascii.Error) as unreadable:
            raise SealError(f"{path}: a line is not <number>:<base64 of 32 bytes>") from unreadable
    return MasterKey(keys, rng)


def make_master_key(path: Path, rng: random.Random) -> None:
    """A new master key file, readable by its owner only. Raises FileExistsError."""
    line = b"1:" + base64.b64encode(rng.randbytes(KEY_BYTES)) + b"\n"
    write_new(path, line)
