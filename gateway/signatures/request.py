"""What a signature is made over: a request as it stood on the wire, before anything parsed it.

gateway/app makes one per request; nothing in this folder sees Flask. Hosts: a client signs the Host
header that it means to send. Proxies change it, some clients leave a port out, so the signature is
tried against each name that the client may have meant: the received one, the same without or with
a port, those in the configuration, and X-Forwarded-Host where a trusted proxy sent it.
"""

import ipaddress
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SignedRequest:
    """Header names are lower case; values as received, of one name joined by commas.

    ``payload_hash`` is the body's SHA-256 in hex, or None where the body is streamed on and its
    hash must be promised by a header. ``form`` are the parameters of a form in the body.
    """

    method: str
    path: str  # raw, as in the request line
    query: str  # raw, without the question mark
    headers: dict[str, str]
    hosts: tuple[str, ...]
    payload_hash: str | None
    secure: bool  # over TLS, our own or a trusted proxy's
    loopback: bool = False
    form: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class HostPolicy:
    """Whom to believe about names: configured once."""

    public_hosts: tuple[str, ...] = ()  # what clients may call us, "cloud.example.com[:port]"
    trusted_proxies: tuple[str, ...] = ()  # networks, "10.0.0.0/8"
    port: int = 8773

    def trusts(self, address: str) -> bool:
        return bool(self.trusted_proxies) and any(
            ipaddress.ip_address(address) in ipaddress.ip_network(network)
            for network in self.trusted_proxies
        )

    def plausible(self, headers: dict[str, str], trusted: bool) -> tuple[str, ...]:
        """The Host values that the client may have signed, the likeliest first."""
        names = [headers.get("host", "")]
        if trusted and (forwarded := headers.get("x-forwarded-host")):
            names = [first(forwarded), *names]
            if port := headers.get("x-forwarded-port"):
                names.insert(1, f"{without_port(names[0])}:{first(port)}")
        names += self.public_hosts
        variants = [*names]
        for name in names:
            bare = without_port(name)
            variants += [bare, f"{bare}:{self.port}", f"{bare}:443", f"{bare}:80"]
        return tuple(dict.fromkeys(variant for variant in variants if variant))


def first(values: str) -> str:
    """The client's end of a list that each proxy appended to."""
    return values.split(",", 1)[0].strip()


def without_default_port(host: str, secure: bool) -> str:
    """A port that the scheme implies is no part of the name: "a.example:443" over TLS."""
    return host.removesuffix(":443" if secure else ":80")


def without_port(host: str) -> str:
    """ "[::1]:8773" -> "[::1]", "a.example:80" -> "a.example"."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() and (":" not in name or name.endswith("]")) else host
