"""What a gateway is told, in one TOML file: ``python -m gateway --config FILE``.

    listen = "127.0.0.1:8773"          controller = "127.0.0.1:7701"
    region = "us-east-1"               ca = "pki/ca.crt"  certificate = "pki/gateway.crt"  key = ...

Paths are relative to the file. A key that is not a field of Config, or has another type, refuses to
start. Called by gateway/__main__.
"""

import ipaddress
import tomllib
import types
import typing
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any


class ConfigError(Exception):
    """The file cannot be used; the message says why, for the operator."""


@dataclass(frozen=True)
class Config:
    """One gateway. What has no default must be given."""

    controller: str  # host:port of the controller's gRPC
    ca: Path  # the cloud's authority, and this gateway's certificate and key for the controller
    certificate: Path
    key: Path
    listen: str = "127.0.0.1:8773"
    region: str = "us-east-1"
    # What signatures may name beside the region itself; "any" takes every one (euca2ools signs for
    # made-up ones).
    signing_region: str = ""
    # The certificate that clients see; empty: the one above. On loopback plain HTTP unless given.
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    plain_http: bool = False  # also beyond loopback: behind a proxy that ends TLS
    public_hosts: tuple[str, ...] = ()  # names that clients may sign, "cloud.example.com[:port]"
    trusted_proxies: tuple[str, ...] = ()  # networks whose X-Forwarded-* headers are believed
    sigv2: bool = False
    max_skew_s: int = 900
    threads: int = 32
    max_connections: int = 1000
    max_body_bytes: int = 256 * 1024  # of a request that is no upload; held in memory
    rpc_timeout_s: float = 10.0
    log_level: str = "INFO"

    def __post_init__(self) -> None:
        if self.log_level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise ConfigError(f"log_level: {self.log_level!r} is none of DEBUG INFO WARNING ERROR")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ConfigError("tls_certificate and tls_key are given together")
        if self.plain_http and self.tls_certificate:
            raise ConfigError("plain_http and tls_certificate exclude each other")
        for network in self.trusted_proxies:
            try:
                ipaddress.ip_network(network)
            except ValueError as mistake:
                raise ConfigError(f"trusted_proxies: {mistake}") from None
        split_address(self.listen)
        split_address(self.controller)

    @property
    def tls_files(self) -> tuple[Path, Path] | None:
        """(certificate, key) shown to clients, or None for plain HTTP: on loopback, or as told."""
        if self.tls_certificate and self.tls_key:
            return self.tls_certificate, self.tls_key
        if self.plain_http or is_loopback(split_address(self.listen)[0]):
            return None
        return self.certificate, self.key


def split_address(address: str) -> tuple[str, int]:
    """ "127.0.0.1:8773", "[::1]:8773" -> (host, port)."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise ConfigError(f"{address!r} is not host:port")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load(path: Path) -> Config:
    """Reads a file. Raises ConfigError for what is unknown, missing or of the wrong type."""
    try:
        given = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as failure:
        raise ConfigError(f"{path}: {failure}") from failure
    known = {field.name: field for field in fields(Config)}
    if strangers := sorted(given.keys() - known.keys()):
        raise ConfigError(f"{path}: unknown: {', '.join(strangers)}")
    absent = [
        name for name, field in known.items() if field.default is MISSING and name not in given
    ]
    if absent:
        raise ConfigError(f"{path}: missing: {', '.join(absent)}")
    hints = typing.get_type_hints(Config)
    return Config(
        **{name: _read(name, value, hints[name], path.parent) for name, value in given.items()}
    )


def _read(name: str, value: object, hint: object, folder: Path) -> Any:
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if Path in kinds and isinstance(value, str):
        return folder / value
    if typing.get_origin(hint) is tuple and isinstance(value, list):
        if all(isinstance(item, str) for item in value):
            return tuple(value)
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif type(value) is hint:
        return value
    raise ConfigError(f"{name}: {value!r} is not what is expected ({hint})")
