"""The configuration's file: what it may say, and that a mistake refuses to start with a
sentence."""

from pathlib import Path

import pytest

from controller.config import Config, ConfigError, Zone, load


@pytest.fixture
def written(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "controller.toml"
        path.write_text(text)
        return path

    return write


def test_an_empty_file_is_the_defaults(written):
    assert load(written("")) == Config()


def test_every_kind_of_value(written):
    config = load(
        written(
            """
            state_dir = "/var/lib/pileus/controller"
            rpc_threads = 4
            [tls]
            ca = "/pki/ca.crt"
            ca_key = "/pki/ca.key"
            [region]
            name = "eu-west-1"
            zones = [{name = "eu-west-1a", id = "euw1-az1"}, {name = "eu-west-1b", id = "euw1-az2"}]
            [images]
            sources = ["https://images.example/"]
            [scheduler]
            filters = ["compute"]
            weighers = {fill_first = 1, image_locality = 0.5}
            ram_ratio = 1
            """
        )
    )
    assert config.database == Path("/var/lib/pileus/controller/pileus.db")
    assert config.tls.ca_key == Path("/pki/ca.key")
    assert config.region.zones[1] == Zone("eu-west-1b", "euw1-az2")
    assert config.images.sources == ("https://images.example/",)
    assert config.scheduler.filters == ("compute",)
    assert config.scheduler.weighers == {"fill_first": 1.0, "image_locality": 0.5}
    assert config.scheduler.ram_ratio == 1.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lisen = 'x'", "unknown key 'lisen'"),
        ("[scheduler]\nfilter = []", "unknown key 'filter'"),
        ("rpc_threads = 'many'", "rpc_threads"),
        ("rpc_threads = true", "rpc_threads"),
        ("tls = 1", "expected a table"),
        ("[region]\nzones = [{naem = 'x'}]", "unknown key 'naem'"),
        ("[region]\nzones = [{name = 'a', hosts_of = 'b'}]", "hosts_of = 'b' of a names no zone"),
        (
            "[region]\nzones = [{name = 'a'}, {name = 'b', hosts_of = 'a'}, "
            "{name = 'c', hosts_of = 'b'}]",
            "hosts_of = 'b' of c names no zone",
        ),
        ("[images]\nsources = 'https://x'", "sources"),
        ("not toml", "controller.toml"),
    ],
)
def test_a_mistake_is_said_where_it_is(written, text, said):
    with pytest.raises(ConfigError, match=said.replace("[", r"\[")):
        load(written(text))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError):
        load(tmp_path / "none.toml")
