"""A gateway with a pretended controller: it records its calls, answers are given before.

world = World();  world.clients.networks.answers["DescribeVpcs"] =
networks_pb2.DescribeVpcsResponse(...)
world.get({"Action": "DescribeVpcs"})            through Flask, signed as botocore signs
with world.listening() as url: boto3.client("ec2", endpoint_url=url, **world.credentials())
world.clients.networks.calls[-1].request
"""

import contextlib
import hashlib
import hmac
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import flask.testing
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from google.protobuf.message_factory import GetMessageClass

from gateway.call import STUBS, Clients
from gateway.config import Config
from gateway.server import Gateway, build
from protos.cloud.v1 import identity_pb2
from protos.errors import CloudError, Kind
from protos.rpc import Caller
from protos.services import SERVICES

KEY_ID, SECRET = "AKIDPILEUSTEST000001", "secret/of+the=tests"
ACCOUNT = "123456789012"
REGION = "us-east-1"
PRINCIPAL = identity_pb2.Principal(
    account_id=ACCOUNT, arn=f"arn:aws:iam::{ACCOUNT}:root", user_id=ACCOUNT
)
CONFIG = Config(
    controller="127.0.0.1:1",
    ca=Path("ca"),
    certificate=Path("c"),
    key=Path("k"),
    listen="127.0.0.1:0",
)
_METHODS = {
    (service.name, method.name): method for service in SERVICES for method in service.methods
}


@dataclass
class RecordedCall:
    method: str
    request: object
    caller: Caller


@dataclass
class Service:
    """Stands for one service of the controller. An answer is a message, an error, or a function."""

    name: str
    answers: dict = field(default_factory=dict)
    calls: list[RecordedCall] = field(default_factory=list)

    def __getattr__(self, method: str):
        descriptor = _METHODS[self.name, method]

        def call(request, caller=Caller(), timeout_s=None):
            if descriptor.client_streaming:
                request = list(request)
            self.calls.append(RecordedCall(method, request, caller))
            answer = self.answers.get(method, GetMessageClass(descriptor.output_type)())
            answer = answer(request, caller) if callable(answer) else answer
            if isinstance(answer, Exception):
                raise answer
            if caller.dry_run:
                raise CloudError(Kind.DRY_RUN, "Request would have succeeded, but DryRun is set.")
            return answer

        return call


def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


class Keys:
    """What the pretended controller's Identity service answers with."""

    def __init__(self):
        self.secrets = {KEY_ID: SECRET}
        self.sequence = 0
        self.changed: list[tuple[int, str]] = []

    def get(self, request: identity_pb2.GetSigningKeyRequest, caller):
        if request.access_key_id not in self.secrets:
            return CloudError(Kind.NOT_FOUND, "No such key.", noun="access-key")
        return identity_pb2.SigningKey(
            key=signing_key(
                self.secrets[request.access_key_id], request.date, request.region, request.service
            ),
            principal=PRINCIPAL,
            change_sequence=self.sequence,
        )

    def changes(self, request: identity_pb2.ListKeyChangesRequest, caller):
        return identity_pb2.ListKeyChangesResponse(
            sequence=self.sequence,
            access_key_ids=[key for at, key in self.changed if at > request.after_sequence],
        )

    def revoke(self, key: str) -> None:
        del self.secrets[key]
        self.sequence += 1
        self.changed.append((self.sequence, key))

    def verify_2(self, request: identity_pb2.VerifySigV2Request, caller):
        secret = self.secrets.get(request.access_key_id, "")
        algorithm = {"HmacSHA1": "sha1", "HmacSHA256": "sha256"}[request.algorithm]
        right = hmac.new(secret.encode(), request.string_to_sign, algorithm).digest()
        if not secret or not hmac.compare_digest(right, request.signature):
            return CloudError(Kind.UNAUTHENTICATED, "No.", noun="signature")
        return PRINCIPAL


class World:
    """One gateway on pretended services. ``now`` is the gateway's clock, as a function."""

    def __init__(self, config: Config = CONFIG, **clocks):
        self.config, self.keys = config, Keys()
        names = {attribute: stub.__name__.removesuffix("Stub") for attribute, stub in STUBS.items()}
        self.clients = Clients(**{each: Service(name) for each, name in names.items()})
        self.clients.identity.answers.update(
            GetSigningKey=self.keys.get,
            ListKeyChanges=self.keys.changes,
            VerifySigV2=self.keys.verify_2,
        )
        self.built = build(config, self.clients, **clocks)
        self.built.keys.poll()

    @property
    def http(self) -> flask.testing.FlaskClient:
        return self.built.wsgi.test_client()

    def send(
        self,
        method: str,
        url: str,
        *,
        body: bytes = b"",
        service: str = "ec2",
        headers: dict | None = None,
        sign: bool = True,
        secret: str = SECRET,
        key_id: str = KEY_ID,
        environ: dict | None = None,
    ):
        """A request as botocore would sign it; ``url`` with the host that is meant."""
        request = AWSRequest(method, url, data=body, headers=headers or {})
        if sign:
            SigV4Auth(Credentials(key_id, secret), service, REGION).add_auth(request)
        host, _, rest = url.split("://", 1)[1].partition("/")
        return self.http.open(
            "/" + rest,
            method=method,
            data=body,
            base_url=f"http://{host}",
            headers=dict(request.headers),
            environ_overrides=environ,
        )

    def call(self, parameters: dict, *, service: str = "ec2", **more):
        """A POST of an action's parameters."""
        body = urlencode(parameters).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
        return self.send(
            "POST", "http://localhost/", body=body, service=service, headers=headers, **more
        )

    @contextlib.contextmanager
    def listening(self):
        """The gateway on a loopback port, behind its own HTTP server: gives its URL."""
        gateway = Gateway(self.config, self.clients)
        port = gateway.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            gateway.stop()


def credentials() -> dict:
    return {
        "aws_access_key_id": KEY_ID,
        "aws_secret_access_key": SECRET,
        "region_name": REGION,
    }
