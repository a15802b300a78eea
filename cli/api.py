"""The cloud's JSON API, called as its operator by every command that speaks to a running cloud.

    api = Api(layout, cloud)
    api.call("POST", "/v1/accounts", {"name": "web"})   -> dict; raises ApiError
    api.upload("/v1/image-uploads", {"disk_format": "qcow2"}, path)

Signed by SigV4 with the service name "pileus"; botocore does the sums.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, TypeAlias
from urllib.parse import urlencode

import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from cli.cloud import Cloud
from cli.errors import CliError
from cli.layout import Layout

SERVICE = "pileus"
TIMEOUT_S, UPLOAD_TIMEOUT_S = 15.0, 3600.0
PIECE_BYTES = 1024 * 1024
Json: TypeAlias = dict[str, Any]  # an object as the API takes and answers it
_OPERATORS = ("account_id", "access_key_id", "secret_access_key")  # what operator.json says


class ApiError(CliError):
    """The cloud refused, or did not answer (``kind`` "UNREACHABLE")."""

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind


class Api:
    """See the module's head."""

    def __init__(self, layout: Layout, cloud: Cloud):
        self._endpoint, self._region = cloud.endpoint, cloud.region
        self._credentials = credentials(layout)
        self._http = urllib3.PoolManager(
            retries=False, ca_certs=str(layout.ca) if not cloud.loopback else None
        )

    def call(self, verb: str, path: str, fields: Json | None = None) -> Json:
        """One request: fields in the body, or in the query of a GET."""
        query, body = "", b""
        if verb == "GET" and fields:
            query = "?" + urlencode(sorted(fields.items()), doseq=True)
        elif fields is not None:
            body = json.dumps(fields).encode()
        digest = hashlib.sha256(body).hexdigest()
        return self._send(verb, path + query, body, digest, TIMEOUT_S)

    def upload(self, path: str, fields: Json, file: Path) -> Json:
        """Streams a file; what it is goes in the query."""
        digest = hashlib.sha256()
        with file.open("rb") as source:
            while piece := source.read(PIECE_BYTES):
                digest.update(piece)
            source.seek(0)
            return self._send(
                "POST",
                f"{path}?{urlencode(sorted(fields.items()))}",
                source,
                digest.hexdigest(),
                UPLOAD_TIMEOUT_S,
                {"Content-Length": str(file.stat().st_size)},
            )

    def every(self, path: str, member: str, fields: Json | None = None) -> list[Json]:
        """All pages of a list."""
        found, token = [], ""
        while True:
            paged = {**(fields or {}), **({"page.next_token": token} if token else {})}
            answer = self.call("GET", path, paged)
            found += answer[member]
            token = answer.get("next_token", "")
            if not token:
                return found

    def _send(
        self,
        verb: str,
        target: str,
        body: bytes | BinaryIO,
        digest: str,
        timeout_s: float,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> Json:
        url = self._endpoint + target
        request = AWSRequest(
            verb, url, headers={"X-Amz-Content-SHA256": digest, "Content-Type": "application/json"}
        )
        SigV4Auth(self._credentials, SERVICE, self._region).add_auth(request)
        try:
            answer = self._http.request(
                verb,
                url,
                body=body,
                headers={**dict(request.headers.items()), **headers},
                timeout=urllib3.Timeout(connect=5.0, read=timeout_s),
            )
        except urllib3.exceptions.HTTPError as failure:
            raise ApiError(
                "UNREACHABLE",
                f"nothing answers at {self._endpoint} ({_cause(failure)}): is the cloud up?",
            ) from failure
        return _read(answer)


def credentials(layout: Layout) -> Credentials:
    key = operators_key(layout)
    return Credentials(key["access_key_id"], key["secret_access_key"])


def own_account(layout: Layout) -> str:
    """The id of the account that every call is made as."""
    return operators_key(layout)["account_id"]


def operators_key(layout: Layout) -> dict[str, str]:
    """The operator's access key, as ``controller init`` wrote it: its account_id, access_key_id and
    secret_access_key. Raises CliError."""
    try:
        content = json.loads(layout.operator.read_text())
        return {name: content[name] for name in _OPERATORS}
    except PermissionError as failure:
        raise CliError(
            f"{layout.operator} is not yours to read: run this as its owner"
        ) from failure
    except (OSError, ValueError, KeyError) as failure:
        raise CliError(f"no operator's access key in {layout.operator}: {failure}") from failure


def _read(answer: urllib3.BaseHTTPResponse) -> Json:
    try:
        content: Json = json.loads(answer.data)
    except ValueError as failure:
        raise ApiError("BUG", f"HTTP {answer.status}, and no JSON with it") from failure
    if answer.status >= 300:
        error = content.get("error", {})
        raise ApiError(error.get("kind", "BUG"), error.get("message", f"HTTP {answer.status}"))
    return content


def _cause(failure: Exception) -> str:
    return str(getattr(failure, "reason", failure)).rpartition(": ")[2]
