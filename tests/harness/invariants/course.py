"""The course of things: what may only grow, what is final, what was said once and for all.

These compare the world with what it was at the last check: ``world.seen`` is a dict that outlives
every process of the simulation.
"""

from collections import defaultdict
from collections.abc import Iterator


def revisions_never_fall(world) -> Iterator[str]:
    """A host's position, and what it is known to hold, only grow, and so do revisions of resources;
    no assignment is ahead of its host's position, nor of its resource's revision."""
    tops = {}
    for host in world.records.table("host"):
        tops[host["host_id"]] = host["position"]
        yield from _grows(world, "position of", host["host_id"], host["position"])
        if host["known_position"] > host["position"]:
            yield f"{host['host_id']} is known to hold {host['known_position']}, it never told"
    newest = {}
    for kind in ("instance", "vpc", "volume", "snapshot"):
        for row in world.records.table(kind):
            newest[row[f"{kind}_id"]] = row["revision"]
            yield from _grows(world, "revision of", row[f"{kind}_id"], row["revision"])
    for row in world.records.table("instance"):
        if row["intent_revision"] > row["revision"]:
            yield f"{row['instance_id']}: its intent is ahead of its revision"
    for row in world.records.table("assignment"):
        name = f"{row['resource_id']} on {row['host_id']}"
        yield from _grows(world, "assigned revision of", name, row["revision"])
        if row["position"] > tops[row["host_id"]]:
            yield f"{name} is at {row['position']}, ahead of its host"
        for which in ("revision", "observed_revision"):
            if row[which] > newest.get(row["resource_id"], 0):
                yield f"{name}: its {which} {row[which]} never was"


def reports_are_taken_in_in_order(world) -> Iterator[str]:
    """(epoch, sequence) of the newest report, of hosts and of instances on them, only grows."""
    for row in world.records.table("host"):
        yield from _grows(world, "report of", row["host_id"], (row["epoch"], row["sequence"]))
    for row in world.records.table("assignment"):
        if row["kind"] == "instance":
            name = f"{row['resource_id']} on {row['host_id']}"
            yield from _grows(world, "report of", name, (row["epoch"], row["sequence"]))


def no_assignment_has_two_workers(world) -> Iterator[str]:
    """On no host, two workers were ever at one assignment at once."""
    for host in world.hosts:
        yield from host.twice_at_once


def hosts_ledgers_never_forget(world) -> Iterator[str]:
    """The position that a host's ledger holds only grows, over crashes too (unless the ledger
    itself is lost); it is never ahead of what the controller decided, nor behind what was said."""
    rows = {row["host_id"]: row for row in world.records.table("host")}
    for host in world.hosts:
        held, row = host.ledger_position(), rows[host.host_id]
        ledger = f"{host.host_id} (number {host.ledgers_lost + 1})"
        yield from _grows(world, "ledger of", ledger, held)
        if held > row["position"]:
            yield f"the ledger of {host.host_id} holds {held}, the controller decided less"
        if held < row["known_position"] and not host.ledgers_lost:
            yield f"{host.host_id} said {row['known_position']}, its ledger holds {held}"


def terminated_is_final(world) -> Iterator[str]:
    """Who should be gone stays so; who was seen to be gone has no live placement and no volume that
    goes with it, ever again."""
    desired = {row["instance_id"]: row for row in world.records.table("instance")}
    ended: set[str] = world.seen.setdefault("terminated", set())
    for instance_id in ended & desired.keys():
        if desired[instance_id]["desired"] != "terminated":
            yield f"{instance_id} was terminated and is wanted {desired[instance_id]['desired']}"
    ended |= {name for name, row in desired.items() if row["desired"] == "terminated"}
    placed = {row["instance_id"] for row in world.records.table("placement") if row["live"]}
    for instance_id, row in desired.items():
        if row["terminated_ms"] is not None and instance_id in placed:
            yield f"{instance_id} is gone and has a live placement"


def who_is_gone_stays_away(world) -> Iterator[str]:
    """A domain of an instance that the controller was told is absent appears on no host."""
    gone = world.seen.setdefault("gone", set())
    gone |= {
        row["instance_id"]
        for row in world.records.table("instance")
        if row["terminated_ms"] is not None
    }
    for host in world.hosts:
        for instance_id in host.domains():
            if instance_id in gone:
                yield f"{instance_id} is gone, yet {host.host_id} has a domain of it"


def a_client_token_made_one_set(world) -> Iterator[str]:
    """All instances of one account and token are one reservation, numbered from 0 on."""
    sets = defaultdict(list)
    for row in world.records.table("instance"):
        if row["client_token"]:
            sets[row["account_id"], row["client_token"]].append(row)
    for (account_id, token), rows in sets.items():
        if len({row["reservation_id"] for row in rows}) > 1:
            yield f"token {token} of {account_id} made {len(rows)} instances in several sets"


def every_reference_is_answered(world) -> Iterator[str]:
    """No row refers to one that is not there."""
    for row in world.records.rows("PRAGMA foreign_key_check"):
        yield f"a row of {row['table']} refers to a missing row of {row['parent']}"


def _grows(world, what: str, name: str, value) -> Iterator[str]:
    seen = world.seen.setdefault(what, {})
    if name in seen and value < seen[name]:
        yield f"{what} {name} fell from {seen[name]} to {value}"
    seen[name] = value
