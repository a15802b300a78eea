"""The oracle: botocore's own serialiser and parser against ours, over every operation.

What botocore's client would send for generated parameters, our parser must read back as those
parameters; what our renderer writes for a generated result, botocore's parser must read back as
that result.
"""

import random
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlencode

import botocore.session
import pytest
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from lxml import etree

from gateway.aws import errors, model, parameters, renderers

SERVICES = ("ec2", "iam", "sts")
WORDS = [
    "plain",
    "a&b",
    "<tag>",
    'quo"te',
    "naïve – 日本 🌩",
    " spaced  out ",
    "cr\rlf\n",
    "a.1=b&c",
    "]]>",
]
EPOCHS_MS = [1, 999, 1_769_860_800_123, 253_402_300_799_000]


class Generator:
    """Values of a botocore shape.

    ``value`` gives what botocore takes or returns, and what our engine uses for it.
    """

    def __init__(self, seed: str):
        self.random = random.Random(seed)

    def value(self, shape, depth=0):
        return getattr(self, f"_{shape.type_name}")(shape, depth)

    def _structure(self, shape, depth):
        ours, theirs = {}, {}
        for name, member in shape.members.items():
            # A structure without members cannot be said in a request: no key, no trace.
            said = member.type_name != "structure" or member.members
            needed = name in shape.required_members or (not ours and depth)
            if said and (needed or (depth < 6 and self.random.random() < 0.8)):
                theirs[name], ours[name] = self.value(member, depth + 1)
        return theirs, ours

    def _list(self, shape, depth):
        # Twelve items now and then: member 10 must not come before member 2.
        size = 12 if depth < 3 and self.random.random() < 0.1 else self.random.randint(1, 2)
        pairs = [self.value(shape.member, depth + 1) for _ in range(size)]
        return [theirs for theirs, _ in pairs], [ours for _, ours in pairs]

    def _map(self, shape, depth):
        pairs = {self.value(shape.key, depth)[0]: self.value(shape.value, depth) for _ in range(2)}
        return {k: v[0] for k, v in pairs.items()}, {k: v[1] for k, v in pairs.items()}

    def _string(self, shape, depth):
        text = self.random.choice(shape.enum or WORDS)
        return text, text

    def _integer(self, shape, depth):
        low = int(shape.metadata.get("min", -5))
        number = self.random.randint(low, int(shape.metadata.get("max", low + 2**31)))
        return number, number

    _long = _integer

    def _double(self, shape, depth):
        number = self.random.choice([0.0, 0.1, -2.5, 1e12])
        return number, number

    _float = _double

    def _boolean(self, shape, depth):
        flag = self.random.random() < 0.5
        return flag, flag

    def _timestamp(self, shape, depth):
        milliseconds = self.random.choice(EPOCHS_MS)
        return datetime.fromtimestamp(milliseconds / 1000, UTC), milliseconds

    def _blob(self, shape, depth):
        data = self.random.randbytes(self.random.randint(1, 40))
        return data, data


@pytest.fixture(scope="module", params=SERVICES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def theirs(name):
    return botocore.session.get_session().get_service_model(name)


@pytest.fixture(scope="module")
def service(name):
    return model.load(name)


def test_every_operation_is_known(theirs, service):
    assert set(service.operations) == set(theirs.operation_names)
    if service.name == "ec2":
        assert len(service.operations) >= 830


def test_what_botocore_sends_is_read_back(theirs, service):
    serializer = create_serializer(theirs.protocol, include_validation=False)
    parsers = parameters.Parsers(service)
    for operation in theirs.operation_names:
        shape = theirs.operation_model(operation).input_shape
        sent, meant = Generator(operation).value(shape) if shape else ({}, {})
        body = serializer.serialize_to_request(sent, theirs.operation_model(operation))["body"]
        pairs = parse_qsl(urlencode(body), keep_blank_values=True, strict_parsing=True)
        tree = parameters.nest(pairs)
        assert tree.pop("Action") == operation
        assert tree.pop("Version") == service.api_version
        assert parsers.of(operation)(tree) == meant, operation


def test_what_we_answer_botocore_reads(theirs, service):
    parser = create_parser(theirs.protocol)
    for operation in theirs.operation_names:
        shape = theirs.operation_model(operation).output_shape
        expected, result = Generator(operation).value(shape) if shape else ({}, {})
        text = wrapped(service, operation, renderers.Renderers(service).of(operation)(result))
        etree.fromstring(text)  # an XML parser that forgives nothing
        response = {"status_code": 200, "headers": {}, "body": text}
        read = parser.parse(response, shape)
        assert read.pop("ResponseMetadata")["RequestId"] == "r-1"
        assert read == expected, operation


def wrapped(service, operation, content) -> bytes:
    """As the endpoint wraps it, which tests/unit/gateway/test_endpoint.py looks at."""
    if service.dialect == "ec2":
        text = f"<{operation}Response><requestId>r-1</requestId>{content}</{operation}Response>"
    else:
        text = (
            f"<{operation}Response><{operation}Result>{content}</{operation}Result>"
            f"<ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></{operation}Response>"
        )
    return (errors.XML_HEAD + text).encode()


def test_the_oracle_bites():
    """Indexes sorted as text, answers without <item>: must not pass what is asked above."""
    service = model.load("ec2")
    theirs = botocore.session.get_session().get_service_model("ec2")
    values = [f"i-{number}" for number in range(12)]
    body = {f"InstanceId.{number}": value for number, value in enumerate(values, 1)}
    as_text = parameters.nest(sorted(body.items()))["InstanceId"]
    assert [as_text[index] for index in sorted(as_text)] != values
    assert parameters.Parsers(service).of("DescribeInstances")({"InstanceId": as_text}) == {
        "InstanceIds": values
    }
    shape = theirs.operation_model("DescribeVpcs").output_shape
    bare = b"<R><requestId>r</requestId><vpcSet><vpcId>vpc-1</vpcId></vpcSet></R>"
    read = create_parser("ec2").parse({"status_code": 200, "headers": {}, "body": bare}, shape)
    assert read["Vpcs"] != [{"VpcId": "vpc-1"}]
