"""Capacity, quotas and addresses: what is claimed is what the living need, and nobody shares."""

import ipaddress
from collections import Counter, defaultdict
from collections.abc import Iterator

QUOTAS = (
    "instances",
    "vcpus",
    "memory_mib",
    "addresses",
    "key_pairs",
    "security_groups",
    "network_interfaces",
    "volumes",
    "gigabytes",
    "snapshots",
    "vpcs",
    "internet_gateways",
)


def no_host_is_oversubscribed(world) -> Iterator[str]:
    """What live placements and volumes claim of a host stays within total times ratio."""
    needs = _claims(world)
    for host in world.records.rows(_HOSTS):
        need = needs[host["host_id"]]
        for what, ratio in world.ratios.items():
            if need[what] > host[what] * ratio:
                yield f"{host['host_id']} has {host[what]} {what} × {ratio}, claimed {need[what]}"


def launches_go_to_hosts_that_are_up(world) -> Iterator[str]:
    """A placement that was not there at the last check is on a host that counts as up."""
    health = {row["host_id"]: row["health"] for row in world.records.rows(_HOSTS)}
    known = world.seen.setdefault("placements", set())
    for row in world.records.table("placement"):
        if row["placement_id"] not in known and health[row["host_id"]] != "up":
            yield f"{row['instance_id']} was placed on {row['host_id']}, {health[row['host_id']]}"
        known.add(row["placement_id"])


def host_usage_is_the_sum_of_the_living(world) -> Iterator[str]:
    """host.*_used is what its live placements and its volumes claim, neither more nor less."""
    needs = _claims(world)
    for host in world.records.rows(_HOSTS):
        need = needs[host["host_id"]]
        for what in ("vcpus", "memory_mib", "disk_gib"):
            if host[f"{what}_used"] != need[what]:
                yield f"{host['host_id']} says {what} {host[f'{what}_used']}, it is {need[what]}"


def _claims(world) -> dict[str, dict[str, int]]:
    """host -> what of it -> how much is claimed."""
    found: dict = defaultdict(lambda: {"vcpus": 0, "memory_mib": 0, "disk_gib": 0})
    for row in world.records.rows(_CLAIMS):
        found[row["host_id"]][row["what"]] = row["claimed"]
    return found


_CLAIMS = """
SELECT host_id, 'vcpus' what, sum(vcpus) claimed FROM placement WHERE live GROUP BY 1
UNION ALL SELECT host_id, 'memory_mib', sum(memory_mib) FROM placement WHERE live GROUP BY 1
UNION ALL SELECT host_id, 'disk_gib', sum(size_gib) FROM volume GROUP BY 1
"""
# Without what each report changes.
_HOSTS = """
SELECT host_id, health, vcpus, memory_mib, disk_gib, vcpus_used, memory_mib_used, disk_gib_used
FROM host
"""


def a_claim_is_the_instances_size(world) -> Iterator[str]:
    """A live placement claims nothing or exactly its instance's vcpus and memory, and these
    wherever the guest is wanted."""
    for row in world.records.rows(_PLACEMENTS):
        claimed, size = (row["vcpus"], row["memory_mib"]), (row["size_vcpus"], row["size_memory"])
        if claimed not in ((0, 0), size):
            yield f"{row['instance_id']} claims {claimed}, its size is {size}"
        if claimed == (0, 0) and row["desired"] == "running":
            yield f"{row['instance_id']} is wanted running and claims nothing"


def every_living_guest_has_its_claim(world) -> Iterator[str]:
    """Whatever the controller wants or knows: where a guest uses a host's vcpus and memory, they
    are claimed."""
    claims = {row["instance_id"]: row["vcpus"] for row in world.records.rows(_PLACEMENTS)}
    for host in world.hosts:
        for name in host.living():
            if not claims.get(name):
                yield f"{name} lives on {host.host_id} and claims nothing"


_PLACEMENTS = """
SELECT p.*, i.desired, i.vcpus AS size_vcpus, i.memory_mib AS size_memory
FROM placement p JOIN instance i USING (instance_id) WHERE p.live
"""


def quota_usage_is_the_sum_of_the_living(world) -> Iterator[str]:
    """quota.used, recomputed for every account from what there is of it."""
    used = {(row["account_id"], row["name"]): row["used"] for row in world.records.table("quota")}
    living: Counter = Counter()
    for row in world.records.rows(_LIVING):
        living[row["account_id"], row["name"]] = row["used"]
    for key in sorted({key for key in {*used, *living} if key[1] in QUOTAS}):
        if used.get(key, 0) != living[key]:
            yield f"{key[1]} of {key[0]}: charged {used.get(key, 0)}, living {living[key]}"


_LIVING = """
SELECT account_id, 'instances' name, count(*) used FROM instance
  WHERE terminated_ms IS NULL GROUP BY 1
UNION ALL SELECT account_id, 'vcpus', sum(p.vcpus) FROM instance i
  JOIN placement p ON p.instance_id = i.instance_id AND p.live GROUP BY 1
UNION ALL SELECT account_id, 'memory_mib', sum(p.memory_mib) FROM instance i
  JOIN placement p ON p.instance_id = i.instance_id AND p.live GROUP BY 1
UNION ALL SELECT account_id, 'addresses', count(*) FROM public_address
  WHERE allocation_id IS NOT NULL GROUP BY 1
UNION ALL SELECT account_id, 'key_pairs', count(*) FROM key_pair GROUP BY 1
UNION ALL SELECT account_id, 'security_groups', count(*) FROM security_group GROUP BY 1
UNION ALL SELECT account_id, 'network_interfaces', count(*) FROM network_interface GROUP BY 1
UNION ALL SELECT account_id, 'volumes', count(*) FROM volume GROUP BY 1
UNION ALL SELECT account_id, 'gigabytes', sum(size_gib) FROM volume GROUP BY 1
UNION ALL SELECT account_id, 'snapshots', count(*) FROM snapshot
  WHERE status <> 'deleting' GROUP BY 1
UNION ALL SELECT account_id, 'vpcs', count(*) FROM vpc GROUP BY 1
UNION ALL SELECT account_id, 'internet_gateways', count(*) FROM internet_gateway GROUP BY 1
"""


def nothing_outlives_its_instance(world) -> Iterator[str]:
    """What goes with an instance has gone when the instance has: interfaces, and volumes unless
    they were to stay; what stays belongs to nobody."""
    gone = {
        row["instance_id"]
        for row in world.records.table("instance")
        if row["terminated_ms"] is not None
    }
    for nic in world.records.table("held_interface"):
        if nic["instance_id"] in gone:
            yield f"{nic['network_interface_id']} is left of {nic['instance_id']}"
    ends = world.seen.setdefault("volumes that end", {})  # volume -> the instance it goes with
    for volume in world.records.table("held_volume"):
        if volume["instance_id"] in gone:
            yield f"{volume['volume_id']} is left with {volume['instance_id']}"
        if volume["delete_on_termination"]:
            ends[volume["volume_id"]] = volume["instance_id"]
        elif volume["desired"] == "deleted":
            continue  # its home is about to
        elif ends.get(volume["volume_id"]) in gone:
            yield f"{volume['volume_id']} should have gone with its instance"
        else:
            ends.pop(volume["volume_id"], None)


def a_private_address_has_one_owner(world) -> Iterator[str]:
    """Within a subnet; and it lies in the block, outside the five that EC2 keeps for itself."""
    blocks = {
        row["subnet_id"]: ipaddress.ip_network(row["cidr_block"])
        for row in world.records.table("subnet")
    }
    nics = world.records.table("held_interface") + world.records.table("secondary_address")
    yield from _shared("private address", ((nic["subnet_id"], nic["private_ip"]) for nic in nics))
    for nic in nics:
        block, address = blocks[nic["subnet_id"]], ipaddress.ip_address(nic["private_ip"])
        offset = int(address) - int(block.network_address)
        if address not in block or offset < 4 or address == block.broadcast_address:
            yield f"{nic['network_interface_id']} has {address} of {block}"


def a_mac_address_has_one_owner(world) -> Iterator[str]:
    """In the whole cloud: two VPCs may share a host."""
    nics = world.records.table("held_interface")
    yield from _shared("MAC", (nic["mac_address"] for nic in nics))


def a_public_address_has_one_owner(world) -> Iterator[str]:
    """It is on one interface at most, that of the account which holds it; a lent one is nobody's
    when no interface has it."""
    owners = {nic["network_interface_id"]: nic for nic in world.records.table("held_interface")}
    nics = [nic for nic in owners.values() if nic["public_ip"]]
    nics += [
        {**owners[more["network_interface_id"]], "public_ip": more["public_ip"]}
        for more in world.records.table("secondary_address")
        if more["public_ip"]
    ]
    yield from _shared("public address", (nic["public_ip"] for nic in nics))
    users = {nic["public_ip"]: nic for nic in nics}
    for row in world.records.table("public_address"):
        user = users.get(row["public_ip"])
        if user is not None and user["account_id"] != row["account_id"]:
            yield f"{row['public_ip']} of {row['account_id']} is used by {user['account_id']}"
        if row["account_id"] and not row["allocation_id"] and user is None:
            yield f"{row['public_ip']} was lent to {row['account_id']} and is on no interface"
        if row["allocation_id"] and not row["account_id"]:
            yield f"{row['public_ip']} is allocated and has no owner"


def _shared(what: str, keys) -> Iterator[str]:
    for key, count in Counter(keys).items():
        if count > 1:
            yield f"{what} {key} has {count} owners"
