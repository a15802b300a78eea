"""The gateway's configuration: what is unknown, missing or unsafe refuses to start."""

import pytest

from gateway.config import ConfigError, load

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
    "text",
    [
        "nonsense = 1",
        "threads = true",
        'threads = "4"',
        "public_hosts = [1]",
        'listen = "nowhere"',
        'listen = "127.0.0.1:99999"',
        'log_level = "LOUD"',
        'trusted_proxies = ["10.0.0.1/8"]',
        'tls_certificate = "x"',
        'tls_certificate = "x"\ntls_key = "y"\nplain_http = true',
        "[section]\nx = 1",
        "not toml",
    ],
)
def test_what_refuses_to_start(tmp_path, text):
    with pytest.raises(ConfigError):
        read(tmp_path, text)


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
