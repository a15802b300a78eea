"""Reading a file over HTTP, resumed where the connection broke. Called by storage/images/fetch.

Every request, redirects included, goes only where the operator allows (storage/images/locations). A
resumed read asks for the rest on condition that the file is still the same (RFC 9110, 13.1.5
If-Range and 14.2 Range); a server that sends all of it again, or another file, ends the read.
"""

import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from typing import IO

from controller.storage.images.locations import check_url

PIECE_BYTES = 1024 * 1024
RESUMES_MAX = 8
_FAILURES = (OSError, http.client.HTTPException)  # URLError and timeouts are OSErrors


class Unreachable(Exception):
    """The file could not be read to its end; the message says what happened."""


class HttpReader:
    """``read(url)`` gives the pieces of the file.

    Raises Unreachable, and CloudError INVALID where a URL is not allowed.
    """

    def __init__(self, allowed: Sequence[str], timeout_s: float = 30.0):
        self._allowed, self._timeout_s = tuple(allowed), timeout_s
        self._opener = urllib.request.build_opener(_AllowedRedirects(self._allowed))

    def read(self, url: str) -> Iterator[bytes]:
        offset, validator, whole = 0, "", None
        for _ in range(RESUMES_MAX + 1):
            try:
                with self._open(url, offset, validator) as response:
                    if offset == 0:
                        validator, whole = _validator(response), _length(response)
                    while piece := response.read(PIECE_BYTES):
                        offset += len(piece)
                        yield piece
            except _FAILURES as failure:
                broken = str(failure)
            else:
                broken = f"the connection ended after {offset} of {whole} bytes"
                if whole is None or offset == whole:
                    return
            if not validator or offset == 0:
                raise Unreachable(broken)
        raise Unreachable(f"broken more than {RESUMES_MAX} times, the last time: {broken}")

    def _open(self, url: str, offset: int, validator: str) -> http.client.HTTPResponse:
        check_url(url, self._allowed)
        request = urllib.request.Request(url, headers={"User-Agent": "pileus"})
        if offset:
            request.add_header("Range", f"bytes={offset}-")
            request.add_header("If-Range", validator)
        try:
            response: http.client.HTTPResponse = self._opener.open(request, timeout=self._timeout_s)
        except urllib.error.HTTPError as answer:
            raise Unreachable(f"the server answered {answer.code} {answer.reason}") from answer
        if offset and response.status != 206:
            response.close()
            raise Unreachable("the file has changed while it was read")
        return response


class _AllowedRedirects(urllib.request.HTTPRedirectHandler):
    max_redirections = 5

    def __init__(self, allowed: Sequence[str]):
        self._allowed = allowed

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        check_url(newurl, self._allowed)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _validator(response: http.client.HTTPResponse) -> str:
    """A strong ETag says that a file is still the same; without one nothing can be resumed."""
    tag = response.headers.get("ETag", "")
    return "" if tag.startswith("W/") else tag


def _length(response: http.client.HTTPResponse) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isascii() and length.isdigit() else None
