"""Security group rules before they are rows: checked, brought to one form, compared. Pure.

Called by controller/network/security_groups/group_rules. One rule has one peer; two rules are the
same rule when their ``identity`` is, whatever their descriptions say (EC2: the same CIDR twice is
InvalidPermission.Duplicate).

    protocol        ports                          a missing port
    tcp udp         0..65535, from ≤ to            refused
    icmp icmpv6     type and code -1..255;         -1 (all)
                    type -1 needs code -1
    -1 and others   whatever was said: all of it   -1

Sources: EC2 API Reference, IpPermission, IpRange ("100.68.0.18/18 becomes 100.68.0.0/18"),
AuthorizeSecurityGroupIngress.
"""

import ipaddress
import re
from dataclasses import dataclass

from protos.cloud.v1 import networks_pb2
from protos.errors import CloudError, Kind, invalid_parameter
from protos.network_values import check_ports

# EC2's alphabet for names and descriptions of groups and rules.
_TEXT = re.compile(r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]*")
TEXT_CHARS_MAX = 255

_NAMED_PROTOCOLS = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6", "all": "-1"}
_PROTOCOL_NUMBER = re.compile(r"[0-9]{1,3}")
_PREFIX = re.compile(r"[0-9]{1,3}")


@dataclass(frozen=True)
class Permission:
    """One rule in canonical form.

    Exactly one of cidr_ipv4, cidr_ipv6, peer_group_id is not empty.
    """

    egress: bool
    protocol: str
    from_port: int
    to_port: int
    cidr_ipv4: str = ""
    cidr_ipv6: str = ""
    peer_group_id: str = ""
    description: str = ""

    @property
    def peer(self) -> str:
        return self.cidr_ipv4 or self.cidr_ipv6 or self.peer_group_id

    @property
    def peer_kind(self) -> str:
        """cidr_ipv4 | cidr_ipv6 | group"""
        if self.peer_group_id:
            return "group"
        return "cidr_ipv4" if self.cidr_ipv4 else "cidr_ipv6"

    @property
    def identity(self) -> tuple[bool, str, int, int, str]:
        """What makes it the rule that it is inside its group; the description does not."""
        return (self.egress, self.protocol, self.from_port, self.to_port, self.peer)

    def __str__(self) -> str:
        """EC2's words for a rule in a message."""
        protocol = "ALL" if self.protocol == "-1" else self.protocol.upper()
        ports = (
            ""
            if self.protocol == "-1"
            else f", from port: {self.from_port}, to port: {self.to_port}"
        )
        return f"peer: {self.peer}, {protocol}{ports}, ALLOW"


def canonical(rule: networks_pb2.SecurityGroupRule, egress: bool, peer_group_id: str) -> Permission:
    """A rule as asked for, checked. ``peer_group_id``: the group that its peer is, "" for a CIDR.

    Raises INVALID in EC2's words.
    """
    protocol = canonical_protocol(rule.protocol)
    from_port, to_port = _ports(protocol, rule)
    check_text(rule.description, "rule description")
    return Permission(
        egress=egress,
        protocol=protocol,
        from_port=from_port,
        to_port=to_port,
        cidr_ipv4=canonical_cidr(rule.cidr_ipv4, 4)
        if rule.WhichOneof("peer") == "cidr_ipv4"
        else "",
        cidr_ipv6=canonical_cidr(rule.cidr_ipv6, 6)
        if rule.WhichOneof("peer") == "cidr_ipv6"
        else "",
        peer_group_id=peer_group_id,
        description=rule.description,
    )


def canonical_protocol(protocol: str) -> str:
    """ "6" and "TCP" are "tcp", "all" is "-1"; numbers that have no name stay numbers."""
    lowered = protocol.strip().lower()
    lowered = _NAMED_PROTOCOLS.get(lowered, lowered)
    if lowered in ("tcp", "udp", "icmp", "icmpv6", "-1"):
        return lowered
    if _PROTOCOL_NUMBER.fullmatch(lowered) and int(lowered) <= 255:
        return _NAMED_PROTOCOLS.get(str(int(lowered)), str(int(lowered)))
    raise invalid_parameter(f"Invalid value '{protocol}' for IP protocol. Unknown protocol.")


def canonical_cidr(cidr: str, version: int) -> str:
    """A block by the network's own address: "10.0.0.0/24" for "10.0.0.9/24". Raises INVALID."""
    address, slash, prefix = cidr.strip().partition("/")
    network_type = ipaddress.IPv4Network if version == 4 else ipaddress.IPv6Network
    try:
        if not slash or not _PREFIX.fullmatch(prefix) or "%" in address:
            raise ValueError("an address, a slash and the prefix's length are needed")
        return str(network_type(f"{address}/{int(prefix)}", strict=False))
    except ValueError as failure:
        raise CloudError(
            Kind.INVALID, f"CIDR block {cidr} is malformed", noun="parameter", because=failure
        ) from failure


def check_text(text: str, what: str) -> None:
    """A name or description: at most 255 characters of EC2's alphabet. Raises INVALID."""
    if len(text) > TEXT_CHARS_MAX or not _TEXT.fullmatch(text):
        raise invalid_parameter(
            f"Invalid {what}. Valid {what}s are strings less than 256 characters from the "
            "following set:  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*"
        )


def _ports(protocol: str, rule: networks_pb2.SecurityGroupRule) -> tuple[int, int]:
    first = rule.from_port if rule.HasField("from_port") else None
    last = rule.to_port if rule.HasField("to_port") else None
    if protocol in ("tcp", "udp"):
        if first is None or last is None:
            raise invalid_parameter(
                "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange."
            )
    elif protocol in ("icmp", "icmpv6"):
        first, last = -1 if first is None else first, -1 if last is None else last
    else:
        return -1, -1
    try:
        check_ports(protocol, first, last)
    except ValueError as mistake:
        raise invalid_parameter(str(mistake)) from mistake
    return first, last
