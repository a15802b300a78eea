"""The metadata tree, its tokens, and HTTP as EC2 speaks it."""

import random
from http import HTTPStatus

import pytest

from hostagent.network import metadata_http
from hostagent.network.guests import guests_of
from hostagent.network.metadata_http import Caller, answer, encode, parse
from hostagent.network.metadata_tokens import Tokens
from hostagent.network.metadata_tree import VERSIONS, find, tree_of
from protos.cloud.v1 import instances_pb2
from tests.unit.network import specs

TTL, TOKEN = metadata_http.TTL_HEADER, metadata_http.TOKEN_HEADER
WEB, DATABASE = specs.guests()
MAC = "02:16:3e:00:00:10"
PUBLIC_NAME = "ec2-100-64-0-10.compute-1.amazonaws.com"


def tree(guest=WEB):
    return tree_of(specs.vpc(), guest, region="us-east-1")


def get(path: str, of=None) -> str | None:
    found = find(tree() if of is None else of, [name for name in path.split("/") if name])
    return None if found is None else found.decode()


# -- the tree --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path, value",
    [
        ("ami-id", "ami-1"),
        ("ami-launch-index", "3"),
        ("block-device-mapping/", "ami\nebs1\nroot"),
        ("block-device-mapping/root", "/dev/xvda"),
        ("block-device-mapping/ebs1", "sdf"),
        ("events/maintenance/scheduled", "[]"),
        ("hibernation/", "configured"),
        ("hibernation/configured", "false"),
        ("hostname", "ip-172-31-0-10.ec2.internal"),
        ("instance-id", "i-00000000000000001"),
        ("local-ipv4", "172.31.0.10"),
        ("mac", MAC),
        ("network/interfaces/macs/", f"{MAC}/"),
        (f"network/interfaces/macs/{MAC}/device-number", "0"),
        (f"network/interfaces/macs/{MAC}/network-card", "0"),
        (f"network/interfaces/macs/{MAC}/public-hostname", PUBLIC_NAME),
        (f"network/interfaces/macs/{MAC}/subnet-id", specs.SUBNET),
        (f"network/interfaces/macs/{MAC}/subnet-ipv4-cidr-block", "172.31.0.0/20"),
        (f"network/interfaces/macs/{MAC}/vpc-ipv4-cidr-blocks", "172.31.0.0/16"),
        (f"network/interfaces/macs/{MAC}/ipv4-associations/", "100.64.0.10"),
        (f"network/interfaces/macs/{MAC}/ipv4-associations/100.64.0.10", "172.31.0.10"),
        (f"network/interfaces/macs/{MAC}/security-group-ids", f"{specs.WEB}\n{specs.EMPTY}"),
        (f"network/interfaces/macs/{MAC}/security-groups", f"web\n{specs.EMPTY}"),
        ("placement/", "availability-zone\navailability-zone-id\nregion"),
        ("placement/availability-zone", "us-east-1a"),
        ("public-hostname", PUBLIC_NAME),
        ("public-ipv4", "100.64.0.10"),
        ("public-keys", "0=mykey"),
        ("public-keys/", "0=mykey"),
        ("public-keys/0/", "openssh-key"),
        ("public-keys/0/openssh-key", "ssh-ed25519 AAAA mykey\n"),
        ("security-groups", "web\ndb"),
        ("services/domain", "amazonaws.com"),
        ("absent", None),
        ("ami-id/", "ami-1"),  # as EC2 answers
        ("ami-id/deeper", None),
        ("iam/security-credentials/", None),
        ("tags/instance/Name", None),
    ],
)
def test_meta_data(path, value):
    assert get(f"meta-data/{path}") == value


def test_directories():
    assert get("") == "dynamic\nmeta-data\nuser-data"
    assert get("dynamic") == "fws/\ninstance-identity/"
    assert get("dynamic/instance-identity/") == "document"
    assert get("meta-data").splitlines()[:2] == ["ami-id", "ami-launch-index"]
    assert get("meta-data") == get("meta-data/") == get("//meta-data//")


def test_what_is_not_there_is_absent():
    bare = tree(DATABASE)
    without = tree_of(
        specs.vpc(),
        guests_of(
            specs.vpc(),
            [specs.instance(9, specs.nic(9, "172.31.0.9", []), user_data=b"", public_key="")],
            specs.NAMES,
        )[0],
        region="us-east-1",
    )
    for key in ("public-ipv4", f"network/interfaces/macs/{DATABASE.mac_address}/public-hostname"):
        assert get(f"meta-data/{key}", bare) is None
    assert get("user-data", without) is None
    assert get("", without) == get("")  # EC2 lists user-data that are not there
    assert get("meta-data/public-keys/", without) is None


def test_secondary_addresses_and_their_public_ones():
    vpc = specs.vpc()
    vpc.public_addresses.add(public_ip="100.64.0.11", private_ip="172.31.0.11")
    told, mac = tree_of(vpc, WEB, region="us-east-1"), f"meta-data/network/interfaces/macs/{MAC}"
    assert get(f"{mac}/local-ipv4s", told) == "172.31.0.10\n172.31.0.11"
    assert get(f"{mac}/public-ipv4s", told) == "100.64.0.10\n100.64.0.11"
    assert get(f"{mac}/ipv4-associations/100.64.0.11", told) == "172.31.0.11"
    assert get(f"{mac}/ipv4-associations/100.64.0.10", told) == "172.31.0.10"
    assert get("meta-data/local-ipv4", told) == "172.31.0.10"


def test_tags_only_where_enabled():
    options = instances_pb2.MetadataOptions(instance_metadata_tags="enabled")
    tagged = specs.instance(1, specs.nic(1, "172.31.0.10", []), options=options)
    (guest,) = guests_of(specs.vpc(), [tagged], specs.NAMES)
    assert get("meta-data/tags/instance/", tree(guest)) == "Name\nempty"
    assert get("meta-data/tags/instance/Name", tree(guest)) == "one"
    assert get("meta-data/tags/instance/empty", tree(guest)) == ""


def test_a_second_interface_tells_of_both():
    both = specs.instance(
        1,
        specs.nic(1, "172.31.0.10", []),
        specs.nic(2, "172.31.16.9", [], subnet_id=specs.FAR_SUBNET, device_index=1),
    )
    first, second = guests_of(specs.vpc(), [both], specs.NAMES)
    macs = get("meta-data/network/interfaces/macs/", tree(second)).splitlines()
    assert macs == ["02:16:3e:00:00:01/", "02:16:3e:00:00:02/"]
    assert get("meta-data/local-ipv4", tree(second)) == "172.31.0.10" == first.address
    name = get(f"meta-data/network/interfaces/macs/{second.mac_address}/local-hostname", tree())
    assert name is None
    name = f"meta-data/network/interfaces/macs/{second.mac_address}/local-hostname"
    assert get(name, tree(second)) == "ip-172-31-16-9.ec2.internal"


def test_public_names_only_where_the_vpc_gives_them():
    vpc = specs.vpc()
    for address in vpc.public_addresses:
        address.dns_name = ""
    (guest,) = guests_of(
        vpc,
        [specs.instance(1, specs.nic(0x10, "172.31.0.10", []), public_dns_name="")],
        specs.NAMES,
    )
    told = tree_of(vpc, guest, region="us-east-1")
    assert get("meta-data/public-hostname", told) is None
    assert get(f"meta-data/network/interfaces/macs/{MAC}/public-hostname", told) is None
    assert get(f"meta-data/network/interfaces/macs/{MAC}/public-ipv4s", told) == "100.64.0.10"


def test_block_devices_by_their_kind():
    instance = specs.instance(1, specs.nic(1, "172.31.0.10", []))
    instance.disks.add(volume_id="vol-3", device_name="/dev/sdc", ephemeral=True)
    instance.disks.add(volume_id="vol-4", device_name="/dev/sdh")
    (guest,) = guests_of(specs.vpc(), [instance], specs.NAMES)
    found = tree(guest)["meta-data"]["block-device-mapping"]
    assert found == {
        "ami": "/dev/xvda",
        "root": "/dev/xvda",
        "ebs1": "sdf",
        "ebs2": "sdh",
        "ephemeral0": "sdc",
    }


@pytest.mark.parametrize("monitoring, word", [(False, "disabled"), (True, "enabled")])
def test_monitoring(monitoring, word):
    instance = specs.instance(1, specs.nic(1, "172.31.0.10", []), monitoring=monitoring)
    (guest,) = guests_of(specs.vpc(), [instance], specs.NAMES)
    assert get("dynamic/fws/instance-monitoring", tree(guest)) == word


def test_the_identity_document_is_printed_as_ec2_prints_it():
    """Scripts cut values out of its lines."""
    assert get("dynamic/instance-identity/document") == (
        """{
  "accountId" : "111111111111",
  "architecture" : "x86_64",
  "availabilityZone" : "us-east-1a",
  "billingProducts" : null,
  "devpayProductCodes" : null,
  "marketplaceProductCodes" : null,
  "imageId" : "ami-1",
  "instanceId" : "i-00000000000000001",
  "instanceType" : "t2.micro",
  "kernelId" : null,
  "pendingTime" : "2023-11-14T22:13:20Z",
  "privateIp" : "172.31.0.10",
  "ramdiskId" : null,
  "region" : "us-east-1",
  "version" : "2017-09-30"
}"""
    )
    assert get("dynamic/instance-identity/pkcs7") is None


# -- tokens ----------------------------------------------------------------------------------------


@pytest.fixture
def clock():
    return [1_000_000]


@pytest.fixture
def tokens(clock):
    return Tokens(b"secret", lambda: clock[0], random.Random(1).randbytes)


def test_a_token_lasts_as_long_as_asked_for(tokens, clock):
    token = tokens.issue("eni-1", 10)
    assert tokens.seconds_left(token, "eni-1") == 10
    clock[0] += 9_999
    assert tokens.seconds_left(token, "eni-1") == 1
    clock[0] += 1
    assert tokens.seconds_left(token, "eni-1") is None


def test_a_token_is_good_for_its_instance_and_host_only(tokens, clock):
    token = tokens.issue("eni-1", 10)
    other = Tokens(b"other", lambda: clock[0], random.Random(1).randbytes)
    assert tokens.seconds_left(token, "eni-2") is None
    assert other.seconds_left(token, "eni-1") is None
    assert tokens.issue("eni-1", 10) != token


@pytest.mark.parametrize("wrong", ["", "x", "AAAA", "é", "=" * 60, "A" * 500])
def test_no_other_text_is_a_token(tokens, wrong):
    assert tokens.seconds_left(wrong, "eni-1") is None


def test_a_token_changed_anywhere_is_none(tokens):
    token = tokens.issue("eni-1", 10)
    for place in range(len(token)):
        other = "A" if token[place] != "A" else "B"
        changed = token[:place] + other + token[place + 1 :]
        assert tokens.seconds_left(changed, "eni-1") is None, place


# -- requests --------------------------------------------------------------------------------------


def ask(tokens, method="GET", path="/latest/meta-data/mac", headers=(), **options):
    caller = Caller("eni-1", tree(), instances_pb2.MetadataOptions(**options))
    lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in dict(headers).items())]
    return answer(parse(("\r\n".join(lines) + "\r\n\r\n").encode()), caller, tokens)


def status(*args, **kwargs) -> int:
    return ask(*args, **kwargs).status


@pytest.mark.parametrize(
    "method, path, expected",
    [
        ("GET", "/", 200),
        ("GET", "/latest", 200),
        ("GET", "/latest/", 200),
        ("GET", "/1.0/meta-data/", 200),
        ("GET", "/2009-04-04/meta-data/instance-id", 200),
        ("GET", "/2009-04-05/meta-data/instance-id", 404),
        ("GET", "/latest/meta-data/../../etc/passwd", 404),
        ("GET", "/latest/meta-data/mac?x=y", 200),
        ("GET", "http://169.254.169.254/latest/meta-data/mac", 200),
        ("GET", "//latest/meta-data/mac", 200),
        ("GET", "///latest//meta-data///mac//", 200),
        ("GET", "//169.254.169.254/latest/meta-data/mac", 404),  # no host in a path
        ("GET", "/latest/dynamic/instance-identity//document/", 200),  # boto 2
        ("GET", "/latest/user-data/", 200),
        ("GET", "//", 200),
        ("GET", "/latest/meta%2Ddata/mac", 200),
        ("HEAD", "/latest/meta-data/mac", 200),
        ("POST", "/latest/meta-data/mac", 405),
        ("DELETE", "/latest/api/token", 405),
        ("GET", "/latest/api/token", 405),
        ("GET", "//latest//api/token/", 405),
        ("PUT", "/latest/meta-data/mac", 405),
    ],
)
def test_paths_and_methods(tokens, method, path, expected):
    assert status(tokens, method, path) == expected


def test_the_root_lists_the_versions(tokens):
    assert ask(tokens, path="/").body.decode().split("\n") == list(VERSIONS)
    assert VERSIONS[0] == "1.0" and VERSIONS[-1] == "latest" and "2009-04-04" in VERSIONS


@pytest.mark.parametrize("path", ["//latest/api/token", "/latest/api//token", "/latest/api/token/"])
def test_a_token_is_given_however_many_slashes_are_in_its_path(tokens, path):
    given = ask(tokens, "PUT", path, {TTL: "60"})
    assert given.status == 200
    read = ask(tokens, headers={TOKEN: given.body.decode()}, http_tokens="required")
    assert (read.status, read.body.decode()) == (200, MAC)


@pytest.mark.parametrize("ttl", ["1", "21600", " 60 "])
def test_a_token_is_given_for_a_time_to_live_that_ec2_allows(tokens, ttl):
    given = ask(tokens, "PUT", "/latest/api/token", {TTL: ttl})
    assert given.status == 200 and given.headers[TTL] == ttl.strip()
    read = ask(tokens, headers={TOKEN: given.body.decode()}, http_tokens="required")
    assert read.status == 200 and read.headers[TTL] == ttl.strip()


@pytest.mark.parametrize("ttl", ["0", "21601", "-1", "x", "", "1.5", "९", "9" * 400])
def test_and_for_no_other(tokens, ttl):
    headers = {} if ttl == "९" else {TTL: ttl}
    assert status(tokens, "PUT", "/latest/api/token", headers) == 400


def test_a_forwarded_request_gets_no_token(tokens):
    headers = {TTL: "60", "x-forwarded-for": "10.0.0.1"}
    assert status(tokens, "PUT", "/latest/api/token", headers) == 403
    assert status(tokens, headers={"X-Forwarded-For": "10.0.0.1"}) == 200


def test_the_hop_limit_is_the_answer_to_puts_only(tokens):
    given = ask(tokens, "PUT", "/latest/api/token", {TTL: "60"}, http_put_response_hop_limit=3)
    assert given.hop_limit == 3
    assert ask(tokens, "PUT", "/latest/api/token", {TTL: "60"}).hop_limit == 1
    assert ask(tokens).hop_limit is None


def test_options(tokens):
    assert status(tokens, http_tokens="required") == 401
    assert status(tokens, headers={TOKEN: "wrong"}) == 401
    assert status(tokens, http_endpoint="disabled") == 403
    assert status(tokens, "PUT", "/latest/api/token", {TTL: "9"}, http_endpoint="disabled") == 403
    assert answer(parse(b"GET / HTTP/1.0\r\n\r\n"), None, tokens).status == 404


def test_user_data_are_bytes(tokens):
    got = ask(tokens, path="/latest/user-data")
    assert (got.body, got.content_type) == (b"#!/bin/sh\n", "application/octet-stream")


def test_on_the_wire(tokens):
    date = "Sun, 29 Nov 2026 14:00:00 GMT"
    wire = encode(ask(tokens), date=date, head_only=False, keep_alive=True)
    head, _, body = wire.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n")
    assert f"Content-Length: {len(body)}".encode() in head and body == MAC.encode()
    assert f"\r\nDate: {date}\r\n".encode() in head
    bare = encode(ask(tokens), date=date, head_only=True, keep_alive=True)
    assert bare == head + b"\r\n\r\n"
    assert b"<h1>404 - Not Found</h1>" in metadata_http.refusal(HTTPStatus.NOT_FOUND).body


@pytest.mark.parametrize(
    "head, keep_alive",
    [
        (b"GET / HTTP/1.1\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nConnection: Close\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n", True),
        (b"PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", False),
        (b"PUT / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", True),
        (b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", False),
    ],
)
def test_connections_stay_open_where_http_says_so(head, keep_alive):
    assert parse(head).keep_alive is keep_alive


NO_HTTP = [
    b"\r\n\r\n",
    b"GET /\r\n\r\n",
    b"GET / HTTP/2\r\n\r\n",
    b"x" * 99,
    b"GET http://[/ HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nno header\r\n\r\n",
    b"PUT / HTTP/1.1\r\nContent-Length: 1, 2\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 500 + b"\r\n",
]


@pytest.mark.parametrize("head", NO_HTTP, ids=range(len(NO_HTTP)))
def test_what_is_no_http_is_refused(head):
    with pytest.raises(ValueError):
        parse(head)
