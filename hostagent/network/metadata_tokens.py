"""Session tokens of the metadata service (IMDSv2), signed instead of stored.

A guest may ask for tokens as often as it likes and costs no memory: a token says until when and for
which instance it is good, and an HMAC proves that this host said so.
"""

import base64
import binascii
import hashlib
import hmac
import struct
from collections.abc import Callable

LONGEST_TTL_S = 21_600
_HEAD = struct.Struct(">Q8s")  # expiry in ms, a nonce
_SIGNATURE_BYTES = 26  # with the head 42 bytes: 56 letters without padding, as EC2's


class Tokens:
    """``now_ms`` is a clock that never goes back, so that no token is good for longer than it says;
    ``secret`` is the process', as that clock is. ``randbytes``: the randomness.
    """

    def __init__(self, secret: bytes, now_ms: Callable[[], int], randbytes: Callable[[int], bytes]):
        self._secret, self._now_ms, self._randbytes = secret, now_ms, randbytes

    def issue(self, instance_id: str, ttl_s: int) -> str:
        head = _HEAD.pack(self._now_ms() + ttl_s * 1000, self._randbytes(8))
        return base64.urlsafe_b64encode(head + self._sign(head, instance_id)).decode()

    def seconds_left(self, token: str, instance_id: str) -> int | None:
        """How long the token is still good for this interface; None where it is not."""
        try:
            raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError):
            return None
        head, signature = raw[: _HEAD.size], raw[_HEAD.size :]
        if len(head) != _HEAD.size:
            return None
        if not hmac.compare_digest(signature, self._sign(head, instance_id)):
            return None
        left_ms = _HEAD.unpack(head)[0] - self._now_ms()
        return -(-left_ms // 1000) if left_ms > 0 else None

    def _sign(self, head: bytes, instance_id: str) -> bytes:
        message = head + instance_id.encode()
        return hmac.digest(self._secret, message, hashlib.sha256)[:_SIGNATURE_BYTES]
