"""The gateway's configuration: what is unknown, missing or unsafe refuses to start."""

import pytest

from gateway.config import load
from protos.config import ConfigError

NEEDED = 'controller = "127.0.0.1:7701"\nca = "ca"\ncertificate = "crt"\nkey = "key"\n'


def read(tmp_path, text):
    path = tmp_path / "gateway.toml"
    path.write_text(NEEDED + text)
    return load(path)


def test_paths_are_relative_to_the_file(tmp_path):
    config = read(tmp_path, 'listen = "[::1]:0"\npublic_hosts = ["a", "b:1"]\nrpc_timeout_s = 3\n')
    assert config.ca == tmp_path / "ca"
    assert config.public_hosts == ("a", "b:1")
    assert config.rpc_timeout_s == 3.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense = 1\nmore = 2", "unknown: nonsense, more; known: controller, ca, "),
        ("threads = true", "threads: expected an integer, got true or false"),
        ("threads = 0", "threads: expected an integer >= 1"),
        ("rpc_timeout_s = 0", "rpc_timeout_s: expected a number > 0"),
        ("public_hosts = [1]", "public_hosts[0]: expected a string, got an integer"),
        ("tls_key = 1", "tls_key: expected a string, got an integer"),
        ('listen = "nowhere"', "listen: 'nowhere' is not host:port"),
        ('listen = "127.0.0.1:99999"', "listen: '127.0.0.1:99999' is not host:port"),
        ('log_level = "LOUD"', "log_level: 'LOUD' is none of DEBUG, INFO, WARNING, ERROR"),
        ('trusted_proxies = ["10.0.0.1/8"]', "trusted_proxies: 10.0.0.1/8 has host bits set"),
        ('tls_certificate = "x"', "are given together"),
        ('tls_certificate = "x"\ntls_key = "y"\nplain_http = true', "exclude each other"),
        ("[section]\nx = 1", "unknown: section"),
        ("not toml", "Expected '='"),
    ],
)
def test_what_refuses_to_start_is_said(tmp_path, text, said):
    with pytest.raises(ConfigError) as refusal:
        read(tmp_path, text)
    assert str(refusal.value).startswith(f"{tmp_path / 'gateway.toml'}: ")
    assert said in str(refusal.value)


def test_what_is_missing_is_named(tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text('ca = "ca"\n')
    with pytest.raises(ConfigError, match="controller, certificate, key"):
        load(path)
    with pytest.raises(ConfigError):
        load(tmp_path / "absent.toml")


@pytest.mark.parametrize(
    ("text", "tls"),
    [
        ('listen = "127.0.0.1:1"', None),
        ('listen = "[::1]:1"', None),
        ('listen = "localhost:1"', None),
        ('listen = "0.0.0.0:1"', ("crt", "key")),
        ('listen = "192.0.2.1:1"', ("crt", "key")),
        ('listen = "0.0.0.0:1"\nplain_http = true', None),
        ('listen = "0.0.0.0:1"\ntls_certificate = "a"\ntls_key = "b"', ("a", "b")),
        ('listen = "127.0.0.1:1"\ntls_certificate = "a"\ntls_key = "b"', ("a", "b")),
    ],
)
def test_beyond_loopback_there_is_tls(tmp_path, text, tls):
    files = read(tmp_path, text).tls_files
    assert files == (tls and tuple(tmp_path / name for name in tls))
