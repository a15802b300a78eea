"""The sums of AWS's signatures that need the secret. Pure; called by identity/rules.

Sources: "Create a signed AWS API request" (SigV4: derive a signing key), "Signature Version 2" (the
HMAC of the string to sign by the secret itself).
"""

import hashlib
import hmac

ALGORITHMS = {"HmacSHA1": hashlib.sha1, "HmacSHA256": hashlib.sha256}


def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """SigV4's key for one day (YYYYMMDD), region and service: 32 bytes from which the secret cannot
    be had."""
    key = b"AWS4" + secret.encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), hashlib.sha256)
    return key


def sigv2_matches(secret: str, algorithm: str, string_to_sign: bytes, signature: bytes) -> bool:
    """Whether this is SigV2's signature; compared in constant time. KeyError for an unknown
    algorithm."""
    expected = hmac.digest(secret.encode(), string_to_sign, ALGORITHMS[algorithm])
    return hmac.compare_digest(expected, signature)
