"""Customers of a running cloud: boto3 clients, the JSON API, and requests signed by hand.

alice = Accounts(endpoint, operator_credentials).account("alice")     made where it is not there
alice.ec2.run_instances(...)                                          unmodified boto3
alice.api("GET", "/v1/instances")                                     the native JSON API
alice.send("POST", body="Action=DescribeVpcs&Version=2016-11-15")     any signed request
"""

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import boto3
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from tests.harness.installation import REGION
from tests.harness.waiting import wait_until

FORM = "application/x-www-form-urlencoded; charset=utf-8"
_RAW_IMAGE = bytes(1024 * 1024)  # a disk of zeros: fake guests boot from anything


@dataclass(frozen=True)
class Account:
    """An account and its access key at one endpoint."""

    name: str
    account_id: str
    access_key_id: str
    secret_access_key: str
    endpoint: str
    http: urllib3.PoolManager

    @functools.cached_property
    def ec2(self):
        return self.client("ec2")

    @functools.cached_property
    def sts(self):
        return self.client("sts")

    def client(self, service: str, **config):
        """A boto3 client. It tries once only, unless ``retries`` says otherwise: what fails is to
        be seen."""
        config = {"retries": {"total_max_attempts": 1}, **config}
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            config=Config(**config),
        )

    def send(
        self,
        verb: str,
        path: str = "/",
        body: bytes | str = b"",
        headers: Mapping[str, str] | None = None,
        service: str = "ec2",
    ) -> urllib3.BaseHTTPResponse:
        """A request signed by SigV4, sent as it is; its answer, whatever the status."""
        body = body.encode() if isinstance(body, str) else body
        headers = {"Content-Type": FORM, **(headers or {})}
        headers["X-Amz-Content-SHA256"] = hashlib.sha256(body).hexdigest()
        request = AWSRequest(verb, self.endpoint + path, headers, body)
        credentials = Credentials(self.access_key_id, self.secret_access_key)
        SigV4Auth(credentials, service, REGION).add_auth(request)
        return self.http.request(
            verb, self.endpoint + path, body=body, headers=dict(request.headers.items())
        )

    def api(self, verb: str, path: str, fields: dict | None = None) -> dict:
        """A call of the native JSON API. AssertionError with the answer where it is refused."""
        body = b"" if fields is None else json.dumps(fields).encode()
        headers = {"Content-Type": "application/json"}
        answer = self.send(verb, path, body, headers, service="pileus")
        assert answer.status == 200, f"{verb} {path}: {answer.status} {answer.data.decode()}"
        return answer.json()

    def states(self, *instance_ids: str) -> dict[str, str]:
        """Instance id -> state, of these or of all."""
        asked = {"InstanceIds": list(instance_ids)} if instance_ids else {}
        pages = self.ec2.get_paginator("describe_instances").paginate(**asked)
        return {
            instance["InstanceId"]: instance["State"]["Name"]
            for page in pages
            for reservation in page["Reservations"]
            for instance in reservation["Instances"]
        }

    def wait_for(self, state: str, *instance_ids: str) -> None:
        """Until all of them are in this state."""
        wait_until(
            f"{state} of {', '.join(instance_ids)}",
            lambda: set(self.states(*instance_ids).values()) == {state},
        )

    def terminate_all(self) -> None:
        """Whatever lives of this account goes, and is gone when this returns."""
        living = [name for name, state in self.states().items() if state != "terminated"]
        if living:
            self.ec2.terminate_instances(InstanceIds=living)
            self.wait_for("terminated", *living)


class Accounts:
    """The accounts of a cloud, by name; ``operator`` makes them."""

    def __init__(self, endpoint: str, operator: Mapping[str, str]):
        self._http = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(30.0))
        self.operator = Account(
            "operator",
            operator["account_id"],
            operator["access_key_id"],
            operator["secret_access_key"],
            endpoint,
            self._http,
        )
        self._known: dict[str, Account] = {}

    def account(self, name: str) -> Account:
        """The account of that name, made at the first time that it is asked for."""
        if name not in self._known:
            made = self.operator.api("POST", "/v1/accounts", {"name": name})
            key = made["access_key"]
            self._known[name] = Account(
                name,
                made["account"]["account_id"],
                key["access_key_id"],
                key["secret_access_key"],
                self.operator.endpoint,
                self._http,
            )
        return self._known[name]

    def add_image(self, name: str = "demo") -> str:
        """A small public image; its id."""
        headers = {"Content-Type": "application/octet-stream"}
        path = "/v1/image-uploads?disk_format=raw"
        uploaded = self.operator.send("POST", path, _RAW_IMAGE, headers, service="pileus")
        assert uploaded.status == 200, uploaded.data.decode()
        image = {
            "name": name,
            "image_location": uploaded.json()["image_location"],
            "architecture": "x86_64",
            "root_device_name": "/dev/xvda",
            "public": True,
        }
        image_id = self.operator.api("POST", "/v1/images", image)["image_id"]
        wait_until("the image", lambda: self._is_available(image_id))
        return image_id

    def is_ready(self) -> bool:
        """Whether a launch would succeed, but for the image."""
        return bool(self.operator.api("GET", "/v1/readiness").get("hosts_up"))

    def _is_available(self, image_id: str) -> bool:
        images = self.operator.ec2.describe_images(ImageIds=[image_id])["Images"]
        return images[0]["State"] == "available"
