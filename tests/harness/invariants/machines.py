"""What machines really have, against what the database says: no guest twice, nothing too much."""

from collections import defaultdict
from collections.abc import Iterator

from hostagent.storage.volumes.known import kept_volumes


def no_instance_has_two_live_domains(world) -> Iterator[str]:
    """Whatever was lost or doubled: two guests never have one disk or answer for one address."""
    where = defaultdict(list)
    for host in world.hosts:
        for name in host.living():
            where[name].append(host.host_id)
    for name, hosts in where.items():
        if len(hosts) > 1:
            yield f"{name} lives on {', '.join(hosts)}"


def every_domain_was_placed_there(world) -> Iterator[str]:
    """A domain is on the host that its instance was once placed on."""
    placed = {(row["host_id"], row["instance_id"]) for row in world.records.table("placement")}
    purged = world.seen.get("gone", ())
    for host in world.hosts:
        for name in host.state.guests:
            if (host.host_id, name) not in placed and name not in purged:
                yield f"{name} is on {host.host_id}, where it was never placed"


def no_two_running_guests_share_an_address(world) -> Iterator[str]:
    """By the ledgers' words, for guests that run: MAC in the cloud, private address in a VPC."""
    users = defaultdict(set)
    for host in world.hosts:
        for spec in host.running_specs():
            for nic in spec.nics:
                users["MAC", nic.mac_address].add(spec.instance_id)
                for address in (nic.private_ip_address, *nic.secondary_private_ip_addresses):
                    users[nic.vpc_id, address].add(spec.instance_id)
    for (what, address), names in users.items():
        if len(names) > 1:
            yield f"{what} {address} is used by {', '.join(sorted(names))}"


def no_volume_is_lost(world) -> Iterator[str]:
    """A volume that was made on a host is there until it is deleted, or goes with its instance."""
    made = world.seen.setdefault("volumes", set())
    there = {(host.host_id, name) for host in world.hosts for name in host.volumes.made}
    made |= there
    for row in world.records.rows(_STAYING_VOLUMES):
        key = (row["host_id"], row["volume_id"])
        if key in made and key not in there:
            yield f"volume {row['volume_id']} has gone from {row['host_id']}"


_STAYING_VOLUMES = """
SELECT v.host_id, v.volume_id FROM held_volume v LEFT JOIN instance i USING (instance_id)
WHERE v.desired = 'present' AND (
  i.instance_id IS NULL OR i.desired <> 'terminated' OR NOT v.delete_on_termination)
"""


# Quiesced, for hosts that are not dead for ever.


def every_desire_is_reached(world) -> Iterator[str]:
    """Running runs, stopped is off, terminated is gone with all that goes with it; and the
    controller knows. An instance on a dead host is excused: its host is then known to be lost."""
    dead = {host.host_id for host in world.hosts if not host.alive}
    lost = {row["host_id"] for row in world.records.table("host") if row["health"] == "lost"}
    powers = {
        name: guest.power for host in world.hosts for name, guest in host.state.guests.items()
    }
    for row in world.records.rows(_COURSE):
        name, desired, observed = row["instance_id"], row["desired"], row["observed"]
        if row["host_id"] in dead:
            if row["host_id"] not in lost:
                yield f"{row['host_id']} is dead and nobody noticed"
            continue
        power = powers.get(name, "none")
        reached = {
            "running": (observed, power) == ("running", "running"),
            "stopped": (observed, power) == ("stopped", "none"),
            "terminated": observed is None and power == "none" and row["terminated_ms"] is not None,
        }
        if not reached[desired]:
            yield f"{name} on {row['host_id']}: {desired} is wanted, {observed} seen, {power} is"


_COURSE = """
SELECT i.instance_id, i.desired, i.terminated_ms, p.host_id, p.observed
FROM instance i LEFT JOIN stay p ON p.instance_id = i.instance_id AND p.live
"""


def every_guest_is_seen_to_answer(world) -> Iterator[str]:
    """Nobody is mute when quiesced: who runs on a host that lives has passed its status check."""
    dead = {host.host_id for host in world.hosts if not host.alive}
    for row in world.records.rows(_CHECKS):
        if row["host_id"] not in dead and row["status_check"] != "passed":
            check = row["status_check"]
            yield f"{row['instance_id']} on {row['host_id']} answers, its check is {check!r}"


_CHECKS = """
SELECT p.instance_id, p.host_id, p.status_check FROM placement p JOIN instance i USING (instance_id)
WHERE p.live AND i.desired = 'running'
"""


def metadata_is_as_asked(world) -> Iterator[str]:
    """The metadata service of each running guest answers by its options, and the controller knows
    that it does."""
    rows = {row["instance_id"]: row for row in world.records.rows(_METADATA)}
    for host in world.hosts:
        if not host.alive:
            continue
        for tenants in host.network.tenants.values():
            for spec in tenants:
                row, options = rows.get(spec.instance_id), spec.metadata.options
                if row is None or row["host_id"] != host.host_id:
                    continue
                wanted = (row["metadata_http_endpoint"], row["metadata_http_tokens"])
                if (options.http_endpoint, options.http_tokens) != wanted:
                    yield f"{spec.instance_id}: its metadata service is not {wanted}"
                if options.instance_metadata_tags != row["metadata_tags"]:
                    yield f"{spec.instance_id}: tags in its metadata are not {row['metadata_tags']}"
                if row["network_revision"] < row["metadata_revision"]:
                    yield f"{spec.instance_id}: its metadata options are pending for ever"


_METADATA = """
SELECT i.*, p.host_id, p.network_revision
FROM placement p JOIN instance i USING (instance_id) WHERE p.live AND i.desired = 'running'
"""


def nothing_is_left_on_hosts(world) -> Iterator[str]:
    """Domains, volumes, taps, VPCs, console files and ledger entries are those of the database."""
    for host in world.hosts:
        if not host.alive:
            continue
        expected = _expected(world.records, host.host_id)
        for what, found in (
            ("domain", set(host.state.guests)),
            ("volume", set(host.volumes.made)),
            ("tap", {name for name, plugged in host.network.ports.items() if plugged}),
            ("loose tap", {name for name, plugged in host.network.ports.items() if not plugged}),
            ("vpc", set(host.network.made)),
            ("ledger entry", set(host.ledger.instances.all())),
            ("vpc in the ledger", set(host.ledger.vpcs.all())),
            ("kept volume in the ledger", set(kept_volumes(host.ledger))),
        ):
            for name in sorted(found - expected[what]):
                yield f"{host.host_id}: {what} {name} should not be there"
            for name in sorted(expected[what] - found - expected["perhaps"]):
                yield f"{host.host_id}: {what} {name} is missing"
        for path in host.consoles.iterdir():
            if path.name.partition(".log")[0] not in expected["ledger entry"]:
                yield f"{host.host_id}: console {path.name} should not be there"


def _expected(records, host_id: str) -> dict[str, set[str]]:
    """What a host should have, by the database."""
    placed = [row for row in records.rows(_ON_HOSTS) if row["host_id"] == host_id]
    here = {row["instance_id"] for row in placed}
    running = {row["instance_id"] for row in placed if row["desired"] == "running"}
    nics = [nic for nic in records.table("held_interface") if nic["instance_id"] in here]
    going = {nic["network_interface_id"] for nic in nics if nic["detaching"]}
    volumes = [row for row in records.table("held_volume") if row["host_id"] == host_id]
    vpcs = {nic["vpc_id"] for nic in nics}
    kept = {
        row["volume_id"] for row in volumes if row["instance_id"] not in here or row["detaching"]
    }
    return {
        "domain": running,
        "volume": {row["volume_id"] for row in volumes},
        "tap": {nic["network_interface_id"] for nic in nics if nic["instance_id"] in running},
        "loose tap": set(),
        "vpc": vpcs,
        "ledger entry": here,
        "vpc in the ledger": vpcs,
        "kept volume in the ledger": kept,
        "perhaps": kept
        | going,  # not, where its instance went before it was made, or the ledger was lost
    }


_ON_HOSTS = """
SELECT p.host_id, i.instance_id, i.desired FROM placement p JOIN instance i USING (instance_id)
WHERE p.live
"""


def all_is_told_and_acknowledged(world) -> Iterator[str]:
    """Each host holds the newest position and the controller knows it; no observation waits to be
    acknowledged, no news to be told."""
    rows = {row["host_id"]: row for row in world.records.table("host")}
    for host in world.hosts:
        if not host.alive:
            continue
        row = rows[host.host_id]
        if not row["position"] == row["known_position"] == host.ledger.position:
            yield (
                f"{host.host_id} is at {row['position']}, holds {host.ledger.position}, "
                f"is known to hold {row['known_position']}"
            )
        if row["health"] != "up":
            yield f"{host.host_id} is alive and counts as {row['health']}"
        if host.agent.has_news():
            yield f"{host.host_id} has news that it does not tell"
        for observation in host.agent.report().observations:
            yield f"{host.host_id} was not acknowledged on {observation.id}"


def hosts_networks_are_as_decided(world) -> Iterator[str]:
    """The firewall, DHCP and NAT that each host made are those of the database now: its groups'
    rules, their members, the instances' addresses. Nothing stale stays."""
    for host in world.hosts:
        if not host.alive:
            continue
        for vpc_id, made in sorted(host.network.made.items()):
            yield from _differs(world.records, host, vpc_id, made)


def _differs(records, host, vpc_id: str, made) -> Iterator[str]:
    nics = [row for row in records.rows(_NICS) if row["vpc_id"] == vpc_id]
    local = [nic for nic in nics if nic["host_id"] == host.host_id and not nic["detaching"]]
    more = defaultdict(list)
    for row in records.table("secondary_address"):
        more[row["network_interface_id"]].append(row)
    members = defaultdict(set)
    for nic in nics:
        members[nic["group_id"]].add(nic["private_ip"])
        others = more[nic["network_interface_id"]]
        members[nic["group_id"]].update(row["private_ip"] for row in others)
    rules = defaultdict(set)
    for row in records.table("security_group_rule"):
        key = (row["egress"], row["protocol"], row["from_port"], row["to_port"], row["peer"])
        rules[row["group_id"]].add(key)
    told = {group.group_id: group for group in made.security_groups}
    where = f"{vpc_id} on {host.host_id}"
    own = {nic["group_id"] for nic in local}
    for group_id in sorted(own):
        if group_id not in told or set(map(_rule_key, told[group_id].rules)) != rules[group_id]:
            yield f"{where}: rules of {group_id} are stale"
    referred = {
        row["peer_group_id"]
        for row in records.table("security_group_rule")
        if row["group_id"] in own and row["peer_group_id"]
    }
    for group_id in sorted(referred):
        found = set(told[group_id].member_addresses) if group_id in told else None
        if found != members[group_id]:
            yield f"{where}: members of {group_id} are {found}, should be {members[group_id]}"
    public = {(nic["public_ip"], nic["private_ip"]) for nic in local if nic["public_ip"]}
    public |= {
        (row["public_ip"], row["private_ip"])
        for nic in local
        for row in more[nic["network_interface_id"]]
        if row["public_ip"]
    }
    if {(pair.public_ip, pair.private_ip) for pair in made.public_addresses} != public:
        yield f"{where}: public addresses are {list(made.public_addresses)}, should be {public}"
    tenants = {spec.instance_id: spec for spec in host.network.tenants.get(vpc_id, ())}
    wanted = {nic["instance_id"] for nic in local}
    ends = {row["instance_id"] for row in records.rows(_COURSE) if row["desired"] == "terminated"}
    if set(tenants) - ends != wanted - ends:  # one that ends may wait for its disks' copies
        yield f"{where} was made for {sorted(tenants)}, should be for {sorted(wanted)}"
    groups = defaultdict(set)
    for nic in local:
        groups[nic["network_interface_id"]].add(nic["group_id"])
    for spec in tenants.values():
        for nic in spec.nics:
            if set(nic.security_group_ids) != groups[nic.network_interface_id]:
                yield f"{where}: groups of {spec.instance_id} are stale"


def _rule_key(rule) -> tuple:
    peer = rule.cidr_ipv4 or rule.cidr_ipv6 or rule.group_id
    return (int(rule.egress), rule.protocol, rule.from_port, rule.to_port, peer)


_NICS = """
SELECT n.network_interface_id, n.instance_id, n.vpc_id, n.private_ip, n.public_ip, g.group_id,
       n.detaching, p.host_id
FROM held_interface n JOIN nic_group g USING (network_interface_id)
LEFT JOIN placement p ON p.instance_id = n.instance_id AND p.live
"""
