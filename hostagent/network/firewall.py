"""A VPC's rule set: anti-spoofing, security groups, NAT of public addresses, the router.

``render`` is pure: specification in, text for ``nft -f -`` out. The driver loads it into the VPC's
namespace; nft makes it one transaction, so a running guest sees the old rules or the new ones and
never none. The way of a packet:

    from a tap     bridge prerouting: bound to its MAC and address, marked with its NIC's number
      to a guest of its subnet   bridge forward (bound at the far end too) -> ip forward
      to elsewhere               router -> ip forward -> other bridge or uplink
      to the router              ip input: DHCP, DNS and metadata only
    from the uplink              ip prerouting (public -> private address) -> ip forward

Where "elsewhere" is, the subnet's routes say (route_tables): to the uplink, or to a NIC that may
receive for others, or nowhere. A subnet without a route to the internet gateway has no public
addresses, and nothing comes in to it. Flows to and from beyond the VPC bear their subnet's mark
(``ct mark``), so that they can be ended when its routes change.

``ip forward`` sees bridged packets through br_netfilter, because the bridge family has no
connection tracking in many kernels; it knows the sender by mark and the receiver by address
(docs/decisions/0251). Groups are evaluated for the first packet of a flow, at the sender (egress)
and then at the receiver (ingress); established flows go on when a rule is revoked, as EC2's tracked
connections do. Guests have no IPv6: their frames other than ARP and IPv4 are dropped, IPv6 rules
have no effect.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network

from hostagent.network.config import (
    METADATA_ADDRESS,
    RESOLVER_ADDRESS,
    UPLINK,
    bridge_of,
    checked,
    resolver_of,
)
from hostagent.network.guests import Guest
from hostagent.network.routes import mark_of, with_internet
from protos import network_values
from protos.cloud.v1 import fleet_pb2
from protos.network_values import address as checked_address

TABLE = "pileus"
SENDER = 0x0000FFFF  # bits of a packet's mark: number of the NIC that it came from
RECEIVER = 0xFFFF0000  # number of the NIC that it is bridged to, where its address cannot tell
_PROTOCOLS = {"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6"}
_ANY_PORT = {(-1, -1), (0, 65535), (0, -1)}


def render(vpc: fleet_pb2.VpcSpec, guests: Sequence[Guest], nat_address: str) -> str:
    """Text for ``nft -f -``. Guests without a public address leave under ``nat_address``. Raises
    ValueError for a malformed address, protocol or id.
    """
    parts = [
        f"table bridge {TABLE}\ndelete table bridge {TABLE}",
        f"table ip {TABLE}\ndelete table ip {TABLE}",
        _block(f"table bridge {TABLE}", _bridge_table(guests)),
        _block(f"table ip {TABLE}", _ip_table(vpc, guests, nat_address)),
    ]
    return "\n".join(parts) + "\n"


def public_addresses(vpc: fleet_pb2.VpcSpec, guests: Sequence[Guest]) -> dict[str, str]:
    """Public address -> private address, of the guests that are here and reach the outside."""
    reaching = with_internet(vpc)
    here = {
        address
        for guest in guests
        if guest.nic.subnet_id in reaching
        for address in guest.addresses
    }
    return {
        checked_address(entry.public_ip): entry.private_ip
        for entry in vpc.public_addresses
        if entry.private_ip in here
    }


# -- anti-spoofing, stateless ----------------------------------------------------------------------


def _bridge_table(guests: Sequence[Guest]) -> list[str]:
    unchecked = [guest for guest in guests if not guest.checked]
    return [
        _set(
            "set macs",
            "ifname . ether_addr",
            (f'"{guest.tap}" . {guest.mac_address}' for guest in guests),
        ),
        _set(
            "set bindings",
            "ifname . ether_addr . ipv4_addr",
            (f'"{g.tap}" . {g.mac_address} . {a}' for g in guests for a in g.addresses),
        ),
        _set("set unchecked", "ifname", (f'"{guest.tap}"' for guest in unchecked)),
        _set("map numbers", "ifname : mark", (f'"{g.tap}" : 0x{g.number:08x}' for g in guests)),
        _chain(
            "prerouting",
            "type filter hook prerouting priority -400; policy drop;",
            "iifname . ether saddr @macs goto from_guest",
        ),
        _chain(
            "from_guest",
            "meta mark set iifname map @numbers",
            "ether type arp goto arp_from_guest",
            "ether type ip goto ip_from_guest",
            "drop",
        ),
        _chain(
            "arp_from_guest",
            "arp htype != 1 drop",
            "arp ptype != 0x0800 drop",
            "iifname . arp saddr ether . arp saddr ip @bindings accept",
            "arp operation request arp saddr ip 0.0.0.0 iifname . arp saddr ether @macs accept",
            "drop",
        ),
        _chain(
            "ip_from_guest",
            "ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept",
            "udp dport 68 drop",  # nobody but the router answers DHCP
            "iifname . ether saddr . ip saddr @bindings accept",
            "iifname @unchecked accept",
            "drop",
        ),
        _chain(
            "forward",  # before br_netfilter's ip forward; no broadcast but ARP, as in a VPC of EC2
            "type filter hook forward priority -10; policy drop;",
            "ether type arp accept",
            "oifname . ether daddr . ip daddr @bindings accept",
            *(
                f'oifname "{guest.tap}" ether daddr {guest.mac_address} '
                f"meta mark set meta mark | 0x{guest.number << 16:08x} accept"
                for guest in unchecked
            ),
        ),
    ]


# -- security groups and NAT, stateful -------------------------------------------------------------


def _ip_table(vpc: fleet_pb2.VpcSpec, guests: Sequence[Guest], nat_address: str) -> list[str]:
    groups = {checked(group.group_id): group for group in vpc.security_groups}
    used = sorted({group for guest in guests for group in guest.group_ids} & set(groups))
    public = sorted(public_addresses(vpc, guests).items())
    unchecked = [guest for guest in guests if not guest.checked]
    return [
        _set("set here", "ipv4_addr", (a for g in guests for a in g.addresses)),
        _set(
            "set bound",
            "mark . ipv4_addr",
            (f"0x{g.number:08x} . {a}" for g in guests for a in g.addresses),
        ),
        _set(
            "map subnets",
            "ifname : mark",
            (
                f'"{bridge_of(s.subnet_id)}" : 0x{mark_of(s.cidr_block):08x}'
                for s in sorted(vpc.subnets, key=lambda each: each.subnet_id)
            ),
        ),
        _set("set outside", "ifname", (f'"{bridge_of(s)}"' for s in sorted(with_internet(vpc)))),
        *_member_sets(groups, used),
        _set("map to_private", "ipv4_addr : ipv4_addr", (f"{a} : {b}" for a, b in public)),
        _set("map to_public", "ipv4_addr : ipv4_addr", (f"{b} : {a}" for a, b in public)),
        *_group_chains(groups, used),
        *_guest_chains(guests, used),
        _set(
            "map egress",
            "mark : verdict",
            (f"0x{guest.number:08x} : goto from_{guest.tap}" for guest in guests),
        ),
        _set(
            "map ingress",
            "ipv4_addr : verdict",
            (f"{a} : goto to_{guest.tap}" for guest in guests for a in guest.addresses),
        ),
        _set(
            "map ingress_routed",
            "ipv4_addr : verdict",
            (f"{a} : goto to_{guest.tap}" for guest in unchecked for a in guest.addresses),
        ),
        _set(
            "map ingress_unchecked",
            "mark : verdict",
            (f"0x{guest.number << 16:08x} : goto to_{guest.tap}" for guest in unchecked),
        ),
        *_base_chains(vpc, checked_address(nat_address)),
    ]


def _base_chains(vpc: fleet_pb2.VpcSpec, nat_address: str) -> list[str]:
    resolvers = f"{{ {resolver_of(vpc.cidr_blocks)}, {RESOLVER_ADDRESS} }}"
    own = f"{{ {', '.join(str(IPv4Network(block)) for block in vpc.cidr_blocks)} }}"
    return [
        _chain(
            "deliver",
            f"ip daddr != {own} ct mark set iifname map @subnets",
            f"ip saddr != {own} ct mark set oifname map @subnets",
            f"meta mark & 0x{RECEIVER:08x} vmap @ingress_unchecked",
            "ip daddr vmap @ingress",
            f'oifname "{UPLINK}" ip saddr @here accept',
            "rt ip nexthop vmap @ingress_routed",
            "drop",
        ),
        _chain(
            "forward",
            "type filter hook forward priority 0; policy drop;",
            f'iifname "{UPLINK}" oifname != @outside drop',
            "ct state established,related accept",
            "ct state invalid drop",
            f"meta mark & 0x{SENDER:08x} vmap @egress",
            f'iifname "{UPLINK}" ct mark set oifname map @subnets',
            f'iifname "{UPLINK}" ct status dnat ip daddr vmap @ingress',
        ),
        _chain(
            "input",
            "type filter hook input priority 0; policy drop;",
            'iifname "lo" accept',
            "ct state established,related accept",
            'iifname "br*" udp sport 68 udp dport 67 accept',
            f"meta mark . ip saddr @bound ip daddr {METADATA_ADDRESS} tcp dport 80 accept",
            f"meta mark . ip saddr @bound ip daddr {resolvers} udp dport 53 accept",
            f"meta mark . ip saddr @bound ip daddr {resolvers} tcp dport 53 accept",
        ),
        _chain(
            "prerouting",
            "type nat hook prerouting priority -100; policy accept;",
            f'iifname "{UPLINK}" dnat to ip daddr map @to_private',
        ),
        _chain(
            "postrouting",
            "type nat hook postrouting priority 100; policy accept;",
            f'oifname "{UPLINK}" snat to ip saddr map @to_public',
            f'oifname "{UPLINK}" ip saddr @here snat to {nat_address}',
        ),
    ]


def _guest_chains(guests: Iterable[Guest], used: list[str]) -> Iterable[str]:
    """A NIC's traffic is allowed by any of its groups. One that the specification does not describe
    allows nothing.
    """
    for guest in guests:
        groups = [_word(group) for group in guest.group_ids if group in used]
        yield _chain(f"from_{guest.tap}", *(f"jump out_{group}" for group in groups), "drop")
        yield _chain(f"to_{guest.tap}", *(f"jump in_{group}" for group in groups), "drop")


def _group_chains(groups: dict[str, fleet_pb2.SecurityGroupSpec], used: list[str]) -> Iterable[str]:
    known = {f"@members_{_word(group)}": group for group in groups}
    for group in used:
        rules = groups[group].rules
        yield _chain(
            f"out_{_word(group)}",
            *(f"{m}goto deliver" for r in rules if r.egress for m in _matches(r, "daddr", known)),
        )
        yield _chain(
            f"in_{_word(group)}",
            *(f"{m}accept" for r in rules if not r.egress for m in _matches(r, "saddr", known)),
        )


def _member_sets(groups: dict[str, fleet_pb2.SecurityGroupSpec], used: list[str]) -> Iterable[str]:
    """Of those groups that a rule in use refers to."""
    referred = {rule.group_id for group in used for rule in groups[group].rules} & set(groups)
    for group in sorted(referred):
        members = sorted({checked_address(a) for a in groups[group].member_addresses})
        yield _set(f"set members_{_word(group)}", "ipv4_addr", members)


def _matches(rule: fleet_pb2.RuleSpec, end: str, known: dict[str, str]) -> Iterable[str]:
    """The rule's condition as nft text ending in a blank, or nothing where it can match no IPv4."""
    peer = rule.WhichOneof("peer")
    if peer == "cidr_ipv4":
        network = IPv4Network(rule.cidr_ipv4, strict=False)
        where = f"ip {end} {network} " if network.prefixlen else ""
    elif peer == "group_id" and f"@members_{_word(rule.group_id)}" in known:
        where = f"ip {end} @members_{_word(rule.group_id)} "
    else:
        return
    what = _protocol_match(rule)
    if what is not None:
        yield where + what


def check_rule(rule: fleet_pb2.RuleSpec) -> None:
    """Raises ValueError for one that no rule set can have."""
    known = f"@members_{_word(rule.group_id)}" if rule.group_id else ""
    list(_matches(rule, "saddr", {known: rule.group_id}))


def _protocol_match(rule: fleet_pb2.RuleSpec) -> str | None:
    name = rule.protocol.lower()
    protocol = _PROTOCOLS.get(name, name)
    first, last = rule.from_port, rule.to_port
    if protocol in ("-1", "all"):
        return ""
    if protocol == "icmpv6":
        return None
    if protocol in ("tcp", "udp"):
        if (first, last) in _ANY_PORT:
            return f"meta l4proto {protocol} "
        network_values.check_ports(protocol, first, last)
        return f"{protocol} dport {first if first == last else f'{first}-{last}'} "
    if protocol == "icmp":
        network_values.check_ports(protocol, first, last)
        if first == -1:
            return "meta l4proto icmp "
        code = "" if last == -1 else f"icmp code {last} "
        return f"icmp type {first} {code}"
    network_values.check_protocol_number(int(protocol))
    return f"meta l4proto {int(protocol)} "


# -- text ------------------------------------------------------------------------------------------


def _word(identifier: str) -> str:
    return checked(identifier).replace("-", "_")


def _block(head: str, parts: Iterable[str]) -> str:
    inner = "\n".join(parts).replace("\n", "\n\t")
    return f"{head} {{\n\t{inner}\n}}"


def _chain(name: str, *rules: str) -> str:
    return _block(f"chain {name}", rules) if rules else f"chain {name} {{\n}}"


def _set(head: str, kind: str, elements: Iterable[str]) -> str:
    rows = [f"type {kind}"]
    listed = ",\n\t".join(elements)
    if listed:
        rows.append(f"elements = {{\n\t{listed}\n}}")
    return _block(head, rows)
