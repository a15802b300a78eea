"""The commands, as far as they go without a running cloud: their refusals are sentences."""

import json
import socket

import pytest
from click.testing import CliRunner

from cli.__main__ import main


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


def pileus(*words: object):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("env",),
        ("audit",),
        ("account", "list"),
        ("account", "create", "web"),
        ("quota", "list", "--account", "web"),
        ("quota", "set", "--account", "web", "instances", "3"),
        ("quota", "list"),
        ("key", "list"),
        ("host", "list"),
        ("image", "list"),
    ],
)
def test_without_a_cloud_there_is_a_way_out(state, command):
    result = pileus(*command, "--state-dir", state)
    assert result.exit_code == 1
    assert "`./pileus up` makes one" in result.output
    assert not state.exists()


def test_down_without_a_cloud_is_no_failure(state):
    result = pileus("down", "--state-dir", state)
    assert result.exit_code == 0 and "no cloud" in result.output


def test_a_folder_of_somebody_else_is_neither_filled_nor_removed(state):
    state.mkdir()
    (state / "thesis.txt").write_text("years of work")
    result = pileus("up", "--hypervisor", "fake", "--state-dir", state)
    assert result.exit_code == 1 and "not empty" in result.output
    result = pileus("down", "--destroy", "--state-dir", state)
    assert result.exit_code == 1 and "left alone" in result.output
    assert (state / "thesis.txt").read_text() == "years of work"


def test_a_taken_port_is_refused_before_anything_is_made(state):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = pileus(
            "up", "--hypervisor", "fake", "--state-dir", state, "--port", port, "--detach"
        )
    assert result.exit_code == 1
    assert f"port {port} of 127.0.0.1 is taken" in result.output and "--port" in result.output
    assert not state.exists()


def test_an_address_that_is_not_here(state):
    words = ("up", "--hypervisor", "fake", "--state-dir", state, "--listen", "192.0.2.1")
    result = pileus(*words)
    assert result.exit_code == 1 and "--listen 192.0.2.1: this machine has no such" in result.output


@pytest.fixture
def running(state):
    """The state dir of a cloud, of which nothing runs."""
    state.mkdir()
    cloud = {
        "hypervisor": "fake",
        "listen": "192.0.2.7",
        "port": 8773,
        "hosts": 1,
        "region": "eu-west-1",
        "zone": "eu-west-1a",
        "public_cidr": "100.64.0.0/24",
        "transit_cidr": "100.65.0.0/16",
        "network_prefix": "pileus",
        "controller_port": 7701,
        "join_port": 7702,
        "host_port": 7711,
        "version": 1,
    }
    (state / "cloud.json").write_text(json.dumps(cloud))
    key = {
        "account_id": "111122223333",
        "access_key_id": "AKIAEXAMPLE",
        "secret_access_key": "s3cret",
    }
    (state / "operator.json").write_text(json.dumps(key))
    return state


def test_env_prints_exports(running):
    result = pileus("env", "--state-dir", running)
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "unset AWS_SESSION_TOKEN AWS_PROFILE;",
        "export AWS_ENDPOINT_URL=https://192.0.2.7:8773",
        "export AWS_ACCESS_KEY_ID=AKIAEXAMPLE",
        "export AWS_SECRET_ACCESS_KEY=s3cret",
        "export AWS_DEFAULT_REGION=eu-west-1",
        f"export AWS_CA_BUNDLE={running}/pki/ca.crt",
    ]


@pytest.mark.parametrize("words", [("-3",), ("--", "-3")])
def test_a_quota_below_nothing_is_refused_as_a_value(state, words):
    result = pileus("quota", "set", "--state-dir", state, "instances", *words)
    assert result.exit_code == 2 and "-3 is not in the range x>=0" in result.output


def test_a_misspelt_option_is_still_refused(state):
    result = pileus("quota", "set", "--acount", "web", "instances", "3", "--state-dir", state)
    assert result.exit_code == 2


def test_a_slip_of_the_finger_is_no_quota(running):
    result = pileus("quota", "set", "--state-dir", running, "instances", 10**18)
    assert result.exit_code == 1 and "a quota is at most" in result.output


def test_a_cloud_without_its_operators_key_says_so(running):
    (running / "operator.json").unlink()
    for command in (("env",), ("quota", "list")):
        result = pileus(*command, "--state-dir", running)
        assert result.exit_code == 1 and "no operator's access key" in result.output
