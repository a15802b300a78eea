"""A signature is for a host: docs/ec2.md's trap 16."""

import pytest
from lxml import etree
from msgspec.structs import replace

from gateway.signatures import HostPolicy
from protos.cloud.v1 import regions_pb2
from tests.unit.gateway.signing import ASK, get, outcome, signed_headers
from tests.unit.gateway.world import CONFIG, REGION, World


@pytest.mark.parametrize(
    "host",
    [
        "cloud.example.com",
        "cloud.example.com:8773",
        "127.0.0.1:8773",
        "[::1]:8773",
        "[2001:db8::1]",
    ],
)
def test_16_the_host_is_signed_with_its_port(world, host):
    assert world.send("GET", f"http://{host}/?{ASK}").status_code == 200


def test_16_a_signature_for_another_host_is_none(world):
    headers = signed_headers("GET", f"http://one.example/?{ASK}")
    answer = get(world, f"http://two.example/?{ASK}", headers=headers)
    assert outcome(answer) == (401, "AuthFailure")


@pytest.mark.parametrize(
    ("signed", "sent"),
    [
        ("cloud.example.com", "cloud.example.com:443"),
        ("cloud.example.com:443", "cloud.example.com"),
        ("cloud.example.com", "cloud.example.com:8773"),
        ("[::1]", "[::1]:8773"),
    ],
)
def test_16_a_port_more_or_less_does_no_harm(world, signed, sent):
    headers = signed_headers("GET", f"http://{signed}/?{ASK}", headers={"Host": signed})
    headers.pop("Host", None)
    assert get(world, f"http://{sent}/?{ASK}", headers=headers).status_code == 200


def test_16_behind_a_proxy_that_ends_tls():
    world = World(replace(CONFIG, trusted_proxies=("10.0.0.0/8",)))
    headers = signed_headers("GET", f"https://cloud.example.com/?{ASK}")
    proxied = {
        **headers,
        "X-Forwarded-Host": "cloud.example.com",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Port": "443",
    }
    inside = f"http://10.1.2.3:8773/?{ASK}"
    trusted, untrusted = {"REMOTE_ADDR": "10.9.9.9"}, {"REMOTE_ADDR": "192.0.2.1"}
    assert get(world, inside, headers=proxied, environ=trusted).status_code == 200
    assert get(world, inside, headers=proxied, environ=untrusted).status_code == 401


@pytest.mark.parametrize(
    ("forwarded", "scheme", "endpoint"),
    [
        ("cloud.example.com", "https", "cloud.example.com"),
        ("cloud.example.com:443", "https", "cloud.example.com"),
        ("cloud.example.com:8443", "https", "cloud.example.com:8443"),
        ("cloud.example.com:80", "http", "cloud.example.com"),
        ("cloud.example.com:443", "http", "cloud.example.com:443"),
        ("[2001:db8::1]:8773", "http", "[2001:db8::1]:8773"),
    ],
)
def test_16_a_regions_endpoint_is_what_its_caller_reaches(forwarded, scheme, endpoint):
    world = World(replace(CONFIG, trusted_proxies=("10.0.0.0/8",)))
    world.clients.regions.answers["Describe"] = regions_pb2.DescribeRegionsResponse(
        regions=[regions_pb2.Region(region_name=REGION)]
    )
    ask = "Action=DescribeRegions&Version=2016-11-15"
    proxied = {"X-Forwarded-Host": forwarded, "X-Forwarded-Proto": scheme}
    headers = signed_headers("GET", f"{scheme}://{forwarded}/?{ask}") | proxied
    url, proxy = f"http://10.1.2.3:8773/?{ask}", {"REMOTE_ADDR": "10.9.9.9"}
    answer = get(world, url, headers=headers, environ=proxy)
    assert etree.fromstring(answer.data).findtext(".//{*}regionEndpoint") == endpoint
    assert world.clients.regions.calls[-1].request.endpoint == endpoint, "filters compare it"


def test_16_names_may_be_configured():
    world = World(replace(CONFIG, public_hosts=("cloud.example.com:9000",)))
    headers = signed_headers("GET", f"http://cloud.example.com:9000/?{ASK}")
    assert get(world, f"http://10.1.2.3/?{ASK}", headers=headers).status_code == 200


def test_plausible_hosts_are_tried_the_likeliest_first():
    hosts = HostPolicy(port=8773).plausible({"host": "a.example:1"}, trusted=False)
    assert hosts[:2] == ("a.example:1", "a.example")
    assert len(set(hosts)) == len(hosts)
