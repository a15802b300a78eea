"""Route tables of subnets in a VPC's router: policy routing, changed as a whole. Called by router.

    rule 1000            main          the VPC's own ranges, local or nowhere: before all else
    rule 2000  iif br…   a table       of the subnet, which always has a default route
    rule 32767           253           the router's own way out (its resolver's); no guest's

A subnet has two tables in turn. What changes is written into the one that is not in force; its rule
is put behind the other's, and takes over in the instant in which that goes. The former table stays
as a record until ``sweep``, so that whoever has to end the flows that it allowed may be killed
meanwhile: ``superseded`` still names the subnet.
"""

import socket
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from pyroute2 import IPRoute

from hostagent.network import links
from hostagent.network.links import Message
from hostagent.network.routes import Route

MAIN, OWN = 254, 253
_LOCAL_FIRST, _BY_SUBNET = 1000, 2000
_BASE = 0x10000  # tables 2n and 2n+1 above it are those of the bridge with index n
_LAST = 0x7FFFFFFF  # metric of a range that is nowhere: behind a subnet of the same range
_BY_KERNEL = 2  # RTPROT_KERNEL
_ONLINK = 4  # RTNH_F_ONLINK: a neighbour, whatever other routes say
_NOWHERE, _SOMEWHERE = links.UNREACHABLE, 1

Entry = tuple[str, int, str, int]  # destination, type, gateway, index of the interface


def ensure_own(ip: IPRoute, blocks: Iterable[str], uplink: int, gateway: str, source: str) -> None:
    """The router's own way out, and the VPC's ranges: what of them no subnet has is nowhere."""
    ip.route(
        "replace",
        dst="default",
        gateway=gateway,
        oif=uplink,
        prefsrc=source,
        flags=_ONLINK,
        table=OWN,
        family=socket.AF_INET,
    )
    wanted = set(blocks)
    for route in ip.get_routes(family=socket.AF_INET, table=MAIN):
        destination = _destination(route)
        nowhere = route["type"] == _NOWHERE
        if nowhere and destination in wanted:
            wanted.discard(destination)
        elif route["proto"] != _BY_KERNEL or nowhere:
            _remove(ip, route)
    for block in sorted(wanted):
        _add(ip, MAIN, (block, _NOWHERE, "", 0), priority=_LAST)
    if not any(_priority(rule) == _LOCAL_FIRST for rule in _rules(ip)):
        ip.rule("add", priority=_LOCAL_FIRST, table=MAIN, family=socket.AF_INET)


def converge(
    ip: IPRoute,
    wanted: Mapping[str, Collection[Route]],
    indexes: Mapping[str, int],
    uplink: int,
    gateway: str,
) -> None:
    """Bridge -> its subnet's routes. Rules of other bridges go."""
    tables, in_force = _tables(ip), _in_force(ip)
    for bridge, routes in wanted.items():
        entries = {_entry(route, indexes, uplink, gateway) for route in routes}
        rules = in_force.pop(bridge, [])
        if not rules or tables[rules[0]] != entries:
            table = next(t for t in _tables_of(indexes[bridge]) if t not in rules[:1])
            for old in rules[1:]:  # a switch that was cut off
                _remove_rule(ip, bridge, old)
            _flush(ip, {table})
            for entry in sorted(entries):
                _add(ip, table, entry)
            _add_rule(ip, bridge, table)
            rules = rules[:1]
        else:
            rules = rules[1:]
        for old in rules:
            _remove_rule(ip, bridge, old)
    for bridge, rules in in_force.items():
        for old in rules:
            _remove_rule(ip, bridge, old)


def superseded(ip: IPRoute) -> dict[int, int]:
    """Tables that are no longer in force -> index of the bridge that they were for."""
    used = {table for tables in _in_force(ip).values() for table in tables}
    return {table: (table - _BASE) // 2 for table in _tables(ip) if table not in used}


def sweep(ip: IPRoute, tables: Collection[int]) -> None:
    """Forgets tables that were superseded."""
    _flush(ip, set(tables))


def _entry(route: Route, indexes: Mapping[str, int], uplink: int, gateway: str) -> Entry:
    if route.internet:
        return route.destination, _SOMEWHERE, gateway, uplink
    if route.next_hop:
        return route.destination, _SOMEWHERE, route.next_hop, indexes[route.bridge]
    return route.destination, _NOWHERE, "", 0


def _tables_of(index: int) -> tuple[int, int]:
    return _BASE + 2 * index, _BASE + 2 * index + 1


def _tables(ip: IPRoute) -> dict[int, set[Entry]]:
    found: dict[int, set[Entry]] = defaultdict(set)
    for route in ip.get_routes(family=socket.AF_INET):
        table = route.get_attr("RTA_TABLE")
        if table >= _BASE:
            entry = (
                _destination(route),
                route["type"],
                route.get_attr("RTA_GATEWAY") or "",
                route.get_attr("RTA_OIF") or 0,
            )
            found[table].add(entry)
    return found


def _in_force(ip: IPRoute) -> dict[str, list[int]]:
    """Bridge -> tables of its rules, the one that counts first."""
    found: dict[str, list[int]] = defaultdict(list)
    for rule in _rules(ip):
        if _priority(rule) == _BY_SUBNET:
            found[rule.get_attr("FRA_IIFNAME")].append(rule.get_attr("FRA_TABLE"))
    return found


def _rules(ip: IPRoute) -> list[Message]:
    return list(ip.get_rules(family=socket.AF_INET))


def _priority(rule: Message) -> int:
    return rule.get_attr("FRA_PRIORITY") or 0


def _add_rule(ip: IPRoute, bridge: str, table: int) -> None:
    ip.rule("add", priority=_BY_SUBNET, iifname=bridge, table=table, family=socket.AF_INET)


def _remove_rule(ip: IPRoute, bridge: str, table: int) -> None:
    ip.rule("del", priority=_BY_SUBNET, iifname=bridge, table=table, family=socket.AF_INET)


def _add(ip: IPRoute, table: int, entry: Entry, **more: str | int) -> None:
    destination, kind, gateway, index = entry
    if gateway:
        more |= {"gateway": gateway, "oif": index, "flags": _ONLINK}
    ip.route("add", dst=destination, type=kind, table=table, family=socket.AF_INET, **more)


def _flush(ip: IPRoute, tables: set[int]) -> None:
    for route in ip.get_routes(family=socket.AF_INET):
        if route.get_attr("RTA_TABLE") in tables:
            _remove(ip, route)


def _remove(ip: IPRoute, route: Message) -> None:
    links.remove_route(
        ip,
        dst=_destination(route),
        table=route.get_attr("RTA_TABLE"),
        type=route["type"],
        priority=route.get_attr("RTA_PRIORITY") or 0,
        family=socket.AF_INET,
    )


def _destination(route: Message) -> str:
    return f"{route.get_attr('RTA_DST') or '0.0.0.0'}/{route['dst_len']}"
