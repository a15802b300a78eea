"""The configuration's file: what it may say, and that a mistake refuses to start with a
sentence."""

from pathlib import Path

import pytest

from controller.config import Config, Zone, load
from protos.config import ConfigError


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
        ("lisen = 'x'", "unknown: lisen"),
        ("[scheduler]\nfilter = []", "unknown: filter"),
        ("[quotas]\nvpc = 1", "quotas: unknown: vpc; known: instances, "),
        ("[quotas]\nvpcs = -1", "quotas: expected"),
        ("rpc_threads = 'many'", "rpc_threads"),
        ("rpc_threads = true", "rpc_threads"),
        ("tls = 1", "tls: expected a table, got an integer"),
        ("[region]\nzones = [{naem = 'x'}]", "unknown: naem"),
        ("[region]\nzones = [{name = 'a', hosts_of = 'b'}]", "hosts_of = 'b' of a names no zone"),
        (
            "[region]\nzones = [{name = 'a'}, {name = 'b', hosts_of = 'a'}, "
            "{name = 'c', hosts_of = 'b'}]",
            "hosts_of = 'b' of c names no zone",
        ),
        ("[images]\nsources = 'https://x'", "images.sources: expected a list, got a string"),
        (
            "[region]\nzones = [{}, {id = 7}]",
            "region.zones[1].id: expected a string, got an integer",
        ),
        (
            "[scheduler.weighers]\nspread = 'far'",
            "scheduler.weighers: expected a number, got a string in {'spread': 'far'}",
        ),
        ("statement_limit_s = inf", "statement_limit_s: expected a number, got inf"),
        ("[hosts]\napply_timeout_s = nan", "hosts.apply_timeout_s: expected a number, got nan"),
        ("[scheduler]\ncpu_ratio = -inf", "scheduler.cpu_ratio: expected a number, got -inf"),
        ("[scheduler]\nram_ratio = 0", "scheduler.ram_ratio: expected"),
        ("[scheduler.weighers]\nspread = nan", "weighers.spread: expected a number, got nan"),
        ("[region]\ndns_suffix = 'corp example'", "'corp example' is not a domain's name"),
        ("[region]\nname = 'eu west'", "'eu west' is not a domain's name"),
        ("[networks]\nnameservers = ['dns']", "'dns' is not an IPv4 address"),
        ("[networks]\npublic_pool = '100.64.0.0/99'", "is not an IPv4 range"),
        ("[tls]\nca_key = 1", "tls.ca_key: expected a string, got an integer"),
        ("not toml", "controller.toml"),
    ],
)
def test_a_mistake_is_said_where_it_is(written, text, said):
    with pytest.raises(ConfigError) as refusal:
        load(written(text))
    assert said in str(refusal.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError):
        load(tmp_path / "none.toml")
