"""Where a new image may come from: ``upload:<sha256>``, or a URL that the operator allows. Pure.

Called by storage/images/rules when an image is registered and by storage/images/remote before each
request, redirects included, so that nobody makes the controller call what only it can reach (RFC
3986 for the parts of a URL).
"""

from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from controller.storage.images.store import is_digest
from protos.errors import CloudError, Kind

UPLOAD = "upload:"
LENGTH_MAX = 2048
_FORMATS_BY_SUFFIX = {".qcow2": "qcow2", ".raw": "raw"}
Place = tuple[str, str, int, list[str]]  # scheme, host, port, path segments
_PORTS = {"http": 80, "https": 443}


def digest_of(location: str) -> str:
    """The digest that ``upload:<hex>`` or ``upload:sha256:<hex>`` names, "" for another location.

    Raises INVALID.
    """
    if not location.startswith(UPLOAD):
        return ""
    digest = "sha256:" + location.removeprefix(UPLOAD).removeprefix("sha256:")
    if not is_digest(digest):
        raise _invalid(f"'{location}' does not name an upload: upload:<sha256 in hexadecimal>")
    return digest


def check_url(url: str, allowed: Sequence[str]) -> None:
    """Raises INVALID unless the URL is http(s) and lies under one of the allowed prefixes."""
    if len(url) > LENGTH_MAX:
        raise _invalid(f"An image location has at most {LENGTH_MAX} characters")
    place = _place(url)
    if place is None:
        raise _invalid(
            f"'{url}' is no location of an image: an http or https URL, or upload:<sha256>"
        )
    if not any(_is_under(place, _place(prefix)) for prefix in allowed):
        raise _invalid(
            f"'{url}' is not under a location that this cloud's operator allows "
            f"({', '.join(allowed) or 'none'})"
        )


def format_of(location: str) -> str:
    """The disk format that a location's suffix declares; "" where it says nothing:

    the file's header then decides.
    """
    path = urlsplit(location).path
    return next((name for end, name in _FORMATS_BY_SUFFIX.items() if path.endswith(end)), "")


def _place(url: str) -> Place | None:
    """Of a plain URL; None for one with "..", user names …"""
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return None
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
        return None
    segments = [unquote(segment) for segment in parts.path.split("/")[1:]]
    if any(segment in (".", "..") or "/" in segment or "\\" in segment for segment in segments):
        return None
    return parts.scheme, parts.hostname.lower(), port, segments


def _is_under(place: Place, prefix: Place | None) -> bool:
    if prefix is None or place[:3] != prefix[:3]:
        return False
    wanted = [segment for segment in prefix[3] if segment]
    return place[3][: len(wanted)] == wanted


def _invalid(message: str) -> CloudError:
    return CloudError(Kind.INVALID, message, noun="image", id="ImageLocation")
