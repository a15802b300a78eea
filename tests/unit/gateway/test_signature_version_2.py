"""Signatures of version 2, where an operator lets old clients in: docs/ec2.md's trap 18."""

import pytest
from msgspec.structs import replace

from tests.unit.gateway.signing import FORM, OLD, now_iso, outcome, version_2
from tests.unit.gateway.world import CONFIG, World


@pytest.mark.parametrize("algorithm", ["HmacSHA1", "HmacSHA256"])
def test_18_version_2_where_it_is_switched_on(algorithm):
    world = World(replace(CONFIG, sigv2=True))
    for time in ({"Timestamp": now_iso()}, {"Expires": now_iso(minutes=5)}):
        signed = version_2({**OLD, **time}, algorithm=algorithm)
        assert world.http.get(f"/?{signed}").status_code == 200
        signed = version_2({**OLD, **time}, method="POST", algorithm=algorithm)
        answer = world.http.post("/", data=signed.encode(), headers=FORM)
        assert answer.status_code == 200
        assert b"doc/2010-08-31/" in answer.data


def test_18_version_2_for_a_path_and_port_of_old_drivers():
    world = World(replace(CONFIG, sigv2=True))
    path = "/services/Eucalyptus"
    signed = version_2({**OLD, "Timestamp": now_iso()}, path=path)
    answer = world.http.get(f"{path}?{signed}", base_url="http://localhost:8773")
    assert answer.status_code == 200


def test_18_version_2_tampered_with():
    world = World(replace(CONFIG, sigv2=True))
    signed = version_2({**OLD, "Timestamp": now_iso()})
    assert outcome(world.http.get(f"/?{signed}&VpcId.1=vpc-1")) == (401, "AuthFailure")


@pytest.mark.parametrize(
    "time",
    [
        {"Timestamp": now_iso(hours=-1)},
        {"Timestamp": now_iso(hours=1)},
        {"Expires": now_iso(hours=-1)},
        {"Expires": now_iso(seconds=-2)},
    ],
)
def test_18_version_2_out_of_time(time):
    world = World(replace(CONFIG, sigv2=True))
    answer = world.http.get(f"/?{version_2({**OLD, **time})}")
    assert outcome(answer) == (400, "RequestExpired")


def test_18_version_2_is_off_by_default(world):
    answer = world.http.get(f"/?{version_2({**OLD, 'Timestamp': now_iso()})}")
    assert outcome(answer) == (401, "AuthFailure")
    assert not [each for each in world.clients.identity.calls if each.method == "VerifySigV2"]
