"""Networks of the tenants' own, and interfaces: ranges apart, addresses with one user, hosts that
do what the tables say."""

import ipaddress
from collections import Counter, defaultdict
from collections.abc import Iterator

OWNED = ("subnet", "route_table", "security_group", "network_interface", "internet_gateway")


def ranges_are_apart(world) -> Iterator[str]:
    """Subnets of a VPC lie in it and do not overlap; it has one main route table, and one gateway
    at most; what is in it is its owner's."""
    vpcs = {row["vpc_id"]: row for row in world.records.table("vpc")}
    blocks = defaultdict(list)
    for row in world.records.table("subnet"):
        block = ipaddress.ip_network(row["cidr_block"])
        if not block.subnet_of(ipaddress.ip_network(vpcs[row["vpc_id"]]["cidr_block"])):
            yield f"{row['subnet_id']} is outside of {row['vpc_id']}"
        for name, other in blocks[row["vpc_id"]]:
            if other.overlaps(block):
                yield f"{row['subnet_id']} overlaps {name}"
        blocks[row["vpc_id"]].append((row["subnet_id"], block))
    mains = Counter(
        row["vpc_id"] for row in world.records.table("route_table_association") if row["main"]
    )
    for vpc_id in vpcs:
        if mains[vpc_id] != 1:
            yield f"{vpc_id} has {mains[vpc_id]} main route tables"
    gateways = Counter(row["vpc_id"] for row in world.records.table("internet_gateway"))
    for vpc_id, count in gateways.items():
        if vpc_id and count > 1:
            yield f"{vpc_id} has {count} internet gateways"
    for table in OWNED:
        for row in world.records.table(table):
            if row["vpc_id"] and vpcs[row["vpc_id"]]["account_id"] != row["account_id"]:
                yield f"a row of {table} of {row['account_id']} is in {row['vpc_id']}"


def what_is_joined_is_of_one_vpc(world) -> Iterator[str]:
    """An interface, its subnet, its groups and the other interfaces of its instance; a route table
    and the subnets that it is associated with."""
    for row in world.records.rows(_JOINED):
        if row["a"] != row["b"]:
            yield f"{row['name']} is of {row['a']}, {row['other']} of {row['b']}"


_JOINED = """
SELECT n.network_interface_id name, n.vpc_id a, s.subnet_id other, s.vpc_id b
  FROM held_interface n JOIN subnet s USING (subnet_id)
UNION ALL SELECT n.network_interface_id, n.vpc_id, g.group_id, g.vpc_id
  FROM held_interface n JOIN nic_group USING (network_interface_id)
  JOIN security_group g USING (group_id)
UNION ALL SELECT n.network_interface_id, n.vpc_id, m.network_interface_id, m.vpc_id
  FROM held_interface n JOIN held_interface m USING (instance_id)
UNION ALL SELECT u.association_id, u.vpc_id, t.route_table_id, t.vpc_id
  FROM route_table_association u JOIN route_table t USING (route_table_id)
UNION ALL SELECT u.association_id, u.vpc_id, s.subnet_id, s.vpc_id
  FROM route_table_association u JOIN subnet s USING (subnet_id)
"""


def an_interface_is_in_one_guest(world) -> Iterator[str]:
    """Whatever was detached: two living guests never have one interface, nor one address. One that
    was detached by force may be with a guest that nobody can ask."""
    users = defaultdict(set)
    addresses = _addresses(world.records)
    for host in world.hosts:
        for name in host.living():
            for nic_id in host.state.guests[name].nics:
                if nic_id not in world.answers.holdings.forced:
                    users[nic_id].add(name)
                    for address in addresses.get(nic_id, ()):
                        users[address].add(name)
    for what, names in users.items():
        if len(names) > 1:
            yield f"{what} is used by {', '.join(sorted(names))}"


def _addresses(records) -> dict[str, list[tuple[str, str]]]:
    found = defaultdict(list)
    vpcs = {}
    for row in records.table("held_interface"):
        vpcs[row["network_interface_id"]] = row["vpc_id"]
        found[row["network_interface_id"]].append((row["vpc_id"], row["private_ip"]))
    for row in records.table("secondary_address"):
        nic_id = row["network_interface_id"]
        found[nic_id].append((vpcs[nic_id], row["private_ip"]))
    return found


# Quiesced.


def guests_have_their_interfaces(world) -> Iterator[str]:
    """A running guest has the interfaces of the database and no other; one that does not listen
    may keep what is to go."""
    wanted = defaultdict(dict)
    for row in world.records.table("held_interface"):
        wanted[row["instance_id"]][row["network_interface_id"]] = row
    for host in world.hosts:
        if not host.alive:
            continue
        for name in host.living():
            guest = host.state.guests[name]
            stay = {nic_id for nic_id, row in wanted[name].items() if not row["detaching"]}
            for nic_id in sorted(stay - set(guest.nics)):
                yield f"{name} lacks {nic_id}"
            for nic_id in sorted(set(guest.nics) - stay):
                kept = nic_id in wanted[name] or nic_id in world.answers.holdings.forced
                if not guest.deaf or not kept:
                    yield f"{name} has {nic_id}, which is not attached to it"


def interfaces_converge(world) -> Iterator[str]:
    """None is on its way out for ever, but where a guest does not listen or the host is dead."""
    dead = {host.host_id for host in world.hosts if not host.alive}
    guests = {name: guest for host in world.hosts for name, guest in host.state.guests.items()}
    for row in world.records.rows(_INTERFACES):
        guest = guests.get(row["instance_id"])
        deaf = guest is not None and guest.deaf and row["network_interface_id"] in guest.nics
        if row["host_id"] in dead or deaf:
            continue
        if row["detaching"] or row["failed"]:
            yield f"{row['network_interface_id']} leaves {row['instance_id']} for ever"


_INTERFACES = """
SELECT n.*, p.host_id FROM held_interface n
LEFT JOIN placement p ON p.instance_id = n.instance_id AND p.live
"""


def hosts_routes_are_as_decided(world) -> Iterator[str]:
    """Each subnet of a VPC that a host made has the routes of its own table, or else of the main
    one; the VPC has the DNS that its attributes say."""
    wanted, attributes = _routes(world.records), world.records.table("vpc")
    dns = {row["vpc_id"]: bool(row["enable_dns_support"]) for row in attributes}
    for host in world.hosts:
        if not host.alive:
            continue
        for vpc_id, made in sorted(host.network.made.items()):
            told = {subnet.subnet_id: set(map(_route, subnet.routes)) for subnet in made.subnets}
            if told != wanted[vpc_id]:
                yield f"{vpc_id} on {host.host_id} has routes {told}, should be {wanted[vpc_id]}"
            if dns.get(vpc_id) == made.dns_disabled:
                yield f"{vpc_id} on {host.host_id}: DNS is as it was"


def _route(route) -> tuple[str, str]:
    target = "outside" if route.internet_gateway else route.private_ip_address or "nowhere"
    return route.destination_cidr_block, target


def _routes(records) -> dict[str, dict[str, set[tuple[str, str]]]]:
    tables, mains = {}, {}
    for row in records.table("route_table_association"):
        if row["subnet_id"]:
            tables[row["subnet_id"]] = row["route_table_id"]
        if row["main"]:
            mains[row["vpc_id"]] = row["route_table_id"]
    gateways = {
        row["internet_gateway_id"]: row["vpc_id"] for row in records.table("internet_gateway")
    }
    nics = {row["network_interface_id"]: row for row in records.table("held_interface")}
    found = defaultdict(dict)
    for subnet in records.table("subnet"):
        vpc_id = subnet["vpc_id"]
        table = tables.get(subnet["subnet_id"], mains[vpc_id])
        routes = found[vpc_id][subnet["subnet_id"]] = set()
        for row in records.table("route"):
            if row["route_table_id"] != table or row["gateway_id"] == "local":
                continue
            target = "nowhere"
            if row["gateway_id"] and gateways.get(row["gateway_id"]) == vpc_id:
                target = "outside"
            elif row["network_interface_id"] in nics:
                target = nics[row["network_interface_id"]]["private_ip"]
            routes.add((row["destination_cidr_block"], target))
    return found
