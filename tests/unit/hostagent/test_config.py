"""The configuration: what is read, what refuses to start."""

from pathlib import Path

import pytest

from hostagent.__main__ import main
from hostagent.config import load, parse
from protos.config import ConfigError

LEAST = {"name": "host-1", "state_dir": "/state/host-1"}


def test_defaults_and_tables():
    config = parse(
        {
            **LEAST,
            "limits": {"shutdown_ms": 1, "reach_ms": 2},
            "images": {"cache_gib": 3},
            "faults": {"crash": 1},
            "network": {"prefix": "lab"},
        }
    )
    assert config.state_dir == Path("/state/host-1")
    assert (config.limits.shutdown_ms, config.limits.status_check_ms) == (1, 2)
    assert config.images.cache_gib == 3
    assert (config.faults.crash, config.network.prefix) == (1.0, "lab")
    assert config.pki == Path("/state/host-1/pki")


@pytest.mark.parametrize(
    "table, word",
    [
        ({"nmae": "x"}, "config: unknown: nmae"),
        ({"limits": {"shutdown_s": 1}}, "limits: unknown: shutdown_s"),
        ({"network": {"pool": "100.64.0.0/30", "bridge": "x"}}, "network: unknown: bridge"),
        ({"network": {"prefix": "UPPER"}}, "prefix"),
        ({"threads": "8"}, "threads: expected an integer, got a string"),
        ({"threads": True}, "got true or false"),
        ({"threads": 0}, "threads: expected an integer >= 1"),
        ({"limits": 3}, "limits: expected a table"),
        ({"limits": {"poll_ms": 0}}, "limits.poll_ms: expected an integer >= 1"),
        ({"limits": {"volume_attempts": 0}}, "limits.volume_attempts"),
        ({"faults": {"crash": 1.5}}, "faults.crash: expected a number <= 1"),
        ({"join_tokens": "x"}, "join_tokens: expected a list"),
        ({"hypervisor": "xen"}, "hypervisor: 'xen' is none of auto, kvm, qemu, fake"),
        ({"hosts": 3}, "only fake hosts"),
        ({"listen": "everywhere"}, "ADDRESS:PORT"),
        ({"volumes": {"listen": "192.0.2.1"}}, "ADDRESS:PORT"),
        ({"volumes": {"listen": "[::1]:nbd"}}, "ADDRESS:PORT"),
        ({"volumes": {"listen": "0.0.0.0:10809"}}, "volumes.endpoint says which"),
    ],
)
def test_what_cannot_be_meant_refuses_to_start(table, word):
    with pytest.raises(ConfigError, match=word):
        parse({**LEAST, **table})


def test_a_host_has_a_name_and_a_place():
    with pytest.raises(ConfigError, match="state_dir"):
        parse({"name": "host-1"})


def test_many_fake_hosts_from_one_file():
    table = {**LEAST, "hypervisor": "fake", "hosts": 2, "join_tokens": ["a", "b"]}
    first, second = parse(table).each()
    assert (first.name, first.listen, first.join_token) == ("host-1-1", "127.0.0.1:7711", "a")
    assert (second.name, second.listen, second.join_token) == ("host-1-2", "127.0.0.1:7712", "b")
    assert second.state_dir == Path("/state/host-1-2")
    with pytest.raises(ConfigError, match="as many join_tokens"):
        parse({**table, "hosts": 3}).each()


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(ConfigError, match="missing"):
        load(tmp_path / "missing.toml")
    (tmp_path / "bad.toml").write_text("name = ")
    with pytest.raises(ConfigError, match=r"bad\.toml"):
        load(tmp_path / "bad.toml")


def test_the_process_says_what_is_wrong(tmp_path, capsys):
    (tmp_path / "host.toml").write_text('name = "x"\nstate_dir = "/s"\ncolour = "red"\n')
    assert main(["--config", str(tmp_path / "host.toml")]) == 2
    assert "unknown: colour" in capsys.readouterr().err
