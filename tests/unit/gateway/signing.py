"""Requests signed as botocore signs them, and as old clients do by version 2."""

import base64
import datetime
import hmac
from urllib.parse import quote, urlencode

from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from lxml import etree

from tests.unit.gateway.world import KEY_ID, REGION, SECRET

ASK = "Action=DescribeVpcs&Version=2016-11-15"
OLD = {"Action": "DescribeVpcs", "Version": "2010-08-31"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ME = Credentials(KEY_ID, SECRET)


def outcome(answer):
    """(status, code); code None for success."""
    root = etree.fromstring(answer.data)
    code = root.findtext(".//{*}Code")
    return answer.status_code, code


def ec2s_outcome(answer):
    """As ``outcome``, of an error in EC2's own document."""
    assert etree.fromstring(answer.data).find("./Errors/Error/Code") is not None, answer.data
    return outcome(answer)


def presigned(url, *, service="ec2", expires=60, credentials=ME, region=REGION):
    request = AWSRequest("GET", url)
    SigV4QueryAuth(credentials, service, region, expires=expires).add_auth(request)
    return request.url


def get(world, url, host=None, headers=None, environ=None):
    """Sends what was signed, byte for byte, to the Host that is wanted."""
    _, _, rest = url.partition("://")
    meant, _, path = rest.partition("/")
    return world.http.get(
        f"/{path}",
        base_url=f"http://{host or meant}",
        headers=headers,
        environ_overrides=environ,
    )


def signed_headers(method, url, body=b"", headers=None, service="ec2", region=REGION, at=None):
    request = AWSRequest(method, url, data=body, headers=headers or {})
    if at is not None:
        auth = Dated(ME, service, region)
        auth.at = at
    else:
        auth = SigV4Auth(ME, service, region)
    auth.add_auth(request)
    return dict(request.headers)


class Dated(SigV4Auth):
    """Signs as of another moment than now."""

    at = None

    def add_auth(self, request):
        request.context["timestamp"] = self.at.strftime("%Y%m%dT%H%M%SZ")
        request.headers["X-Amz-Date"] = request.context["timestamp"]
        canonical = self.canonical_request(request)
        signature = self.signature(self.string_to_sign(request, canonical), request)
        self._inject_signature_to_request(request, signature)


def version_2(parameters, *, method="GET", host="localhost", path="/", algorithm="HmacSHA256"):
    given = {
        "AWSAccessKeyId": KEY_ID,
        "SignatureVersion": "2",
        "SignatureMethod": algorithm,
        **parameters,
    }
    query = "&".join(
        f"{quote(name, safe='-_.~')}={quote(given[name], safe='-_.~')}" for name in sorted(given)
    )
    text = f"{method}\n{host}\n{path}\n{query}".encode()
    digest = {"HmacSHA1": "sha1", "HmacSHA256": "sha256"}[algorithm]
    signature = base64.b64encode(hmac.new(SECRET.encode(), text, digest).digest()).decode()
    return urlencode({**given, "Signature": signature})


def now_iso(**offset):
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(**offset)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
