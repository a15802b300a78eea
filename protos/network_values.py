"""Values of networks that the controller accepts and hosts make true: one rule for both. Pure.

    domain("Corp.Example")              as DHCP says it to guests, and a resolver answers for it
    address("10.0.0.1")  block("10.0.0.0/8")     IPv4, in canonical form
    check_ports("tcp", 22, 22)          of a security group's rule

Each raises ValueError, whose words are for who asked. What a host would refuse must be refused
before it is accepted: nobody would be told afterwards. Called by the controller's rules and
configuration, and by the agent before anything gets into a rule set or a configuration file.
"""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Network

DOMAIN_CHARS_MAX = 253
_LABEL = r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)"
_DOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*", re.ASCII)
NETBIOS_NODE_TYPES = (1, 2, 4, 8)  # RFC 2132, option 46
LAST_PORT, LAST_ICMP = 65535, 255


def domain(text: str) -> str:
    """As it was written: names are the same in either case."""
    if len(text) > DOMAIN_CHARS_MAX or not _DOMAIN.fullmatch(text):
        raise ValueError(f"'{text}' is not a domain's name")
    return text


def address(text: str) -> str:
    try:
        return str(IPv4Address(text))
    except ValueError:
        raise ValueError(f"'{text}' is not an IPv4 address") from None


def block(text: str) -> IPv4Network:
    """By the network's own address: "10.0.0.0/24" for "10.0.0.9/24"."""
    try:
        return IPv4Network(text, strict=False)
    except ValueError:
        raise ValueError(f"'{text}' is not an IPv4 range") from None


def canonical_block(text: str) -> IPv4Network | IPv6Network:
    """As routes have them: no host's bit is set."""
    return IPv6Network(text) if ":" in text else IPv4Network(text)


def check_ports(protocol: str, first: int, last: int) -> None:
    """``protocol``: canonical. Of others than these any ports are taken, and mean all."""
    if protocol in ("tcp", "udp"):
        for port in (first, last):
            if not 0 <= port <= LAST_PORT:
                raise ValueError(f"TCP/UDP port ({port}) out of range")
        if first > last:
            raise ValueError(
                f"Invalid TCP/UDP port range ({first}:{last}): the first port is after the last"
            )
    elif protocol in ("icmp", "icmpv6"):
        if not -1 <= first <= LAST_ICMP or not -1 <= last <= LAST_ICMP:
            raise ValueError(f"ICMP type ({first}) or code ({last}) out of range")
        if first == -1 and last != -1:
            raise ValueError(f"ICMP code ({last}) must be -1 (all) where the type is -1 (all)")


def check_protocol_number(number: int) -> None:
    if not 0 <= number <= 255:
        raise ValueError(f"{number} is no protocol's number")
