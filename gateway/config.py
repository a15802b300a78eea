"""What a gateway is told, in one TOML file: ``python -m gateway --config FILE``.

    listen = "127.0.0.1:8773"          controller = "127.0.0.1:7701"
    region = "us-east-1"               ca = "pki/ca.crt"  certificate = "pki/gateway.crt"  key = ...

Paths are relative to the file. A key that is not a field of Config, or has another type, refuses to
start (protos/config.py). Called by gateway/__main__.
"""

import ipaddress
from pathlib import Path
from typing import Literal

from protos import config
from protos.config import NotNegative, Positive, Seconds


class Config(config.Section, frozen=True):
    """One gateway. What has no default must be given."""

    controller: str  # host:port of the controller's gRPC
    ca: Path  # the cloud's authority, and this gateway's certificate and key for the controller
    certificate: Path
    key: Path
    # Where a controller on this machine can be called quicker (protos/unix_socket.py).
    controller_socket: Path | None = None
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
    max_skew_s: NotNegative = 900
    workers: Positive = 2  # processes; the bounds below are of each
    threads: Positive = 32
    max_connections: Positive = 1000
    max_body_bytes: Positive = 256 * 1024  # of a request that is no upload; held in memory
    rpc_timeout_s: Seconds = 10.0
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    def __post_init__(self) -> None:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key are given together")
        if self.plain_http and self.tls_certificate:
            raise ValueError("plain_http and tls_certificate exclude each other")
        for network in self.trusted_proxies:
            try:
                ipaddress.ip_network(network)
            except ValueError as mistake:
                raise ValueError(f"trusted_proxies: {mistake}") from None
        for key in ("listen", "controller"):
            try:
                split_address(getattr(self, key))
            except ValueError as mistake:
                raise ValueError(f"{key}: {mistake}") from None

    @property
    def tls_files(self) -> tuple[Path, Path] | None:
        """(certificate, key) shown to clients, or None for plain HTTP: on loopback, or as told."""
        if self.tls_certificate and self.tls_key:
            return self.tls_certificate, self.tls_key
        if self.plain_http or is_loopback(split_address(self.listen)[0]):
            return None
        return self.certificate, self.key


def split_address(address: str) -> tuple[str, int]:
    """ "127.0.0.1:8773", "[::1]:8773" -> (host, port). Raises ValueError."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise ValueError(f"{address!r} is not host:port")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load(path: Path) -> Config:
    """Reads a file. Raises ConfigError."""
    return config.load(path, Config, folder=path.parent)
