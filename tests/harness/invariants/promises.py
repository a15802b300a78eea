"""Answers hold: what a customer was told is what the database says, whatever crashed since."""

from collections.abc import Iterator

from tests.harness.answers import ASSOCIATIONS

# Where it is said why something failed.
REASONS = (
    ("instance", "state_reason_message"),
    ("assignment", "reason_message"),
    ("attachment", "message"),
    ("snapshot", "status_message"),
)


def calls_keep_their_word(world) -> Iterator[str]:
    """What can be told at the call itself: no internal error, nothing left behind by a refused or
    rehearsed call or by one cut before its commit, and no word about another account's."""
    yield from world.answers.breaches


def no_instance_is_lost(world) -> Iterator[str]:
    """Every instance that an answer named is there and wanted as last answered. By itself only a
    guest that went, or could not be made, changes that: with a reason, and only where the
    simulation did it harm (``world.is_harmed``). Once terminated for long enough it may go."""
    rows = {row["instance_id"]: row for row in world.records.table("instance")}
    for instance_id, promised in list(world.answers.instances.items()):
        row = rows.get(instance_id)
        if row is None:
            if promised.desired == "terminated" and instance_id in world.seen.get("gone", ()):
                world.answers.forget_instance(instance_id)
            else:
                yield f"{instance_id} was answered and is not there"
            continue
        if row["desired"] != promised.desired:
            ended = promised.desired == "running" and row["state_reason_code"]
            if not ended or not world.is_harmed(instance_id):
                yield (
                    f"{instance_id} was promised {promised.desired}, is wanted {row['desired']} "
                    f"({row['state_reason_code'] or 'no reason'})"
                )
            world.answers.ended(instance_id, row["desired"])
        for name in ("account_id", "client_token", "instance_type", "shutdown_behavior"):
            if row[name] != getattr(promised, name):
                yield f"{instance_id}: {name} is {row[name]}, promised {getattr(promised, name)}"


def absence_is_no_failure(world) -> Iterator[str]:
    """Nothing is said to have failed because a hypervisor's daemon was not there: it waits."""
    for table, column in REASONS:
        said = f"SELECT * FROM {table} WHERE instr({column}, 'hypervisor is away')"
        for row in world.records.rows(said):
            yield f"{table} {tuple(row)}: {column} is {row[column]!r}"


def no_instance_appears_unasked(world) -> Iterator[str]:
    """The database has no instance that no answer named."""
    for row in world.records.table("instance"):
        if row["instance_id"] not in world.answers.instances:
            yield f"{row['instance_id']} was never answered for"


def groups_and_rules_are_as_answered(world) -> Iterator[str]:
    """Groups and rules that were made are there, those that were removed are not."""
    groups = {row["group_id"]: row["account_id"] for row in world.records.table("security_group")}
    rules = {row["rule_id"]: row["group_id"] for row in world.records.table("security_group_rule")}
    for group_id, account_id in world.answers.groups.items():
        if groups.get(group_id) != account_id:
            yield f"group {group_id} of {account_id} is lost"
    for rule_id, group_id in world.answers.rules.items():
        if rules.get(rule_id) != group_id:
            yield f"rule {rule_id} of {group_id} is lost"
    made = {row["group_id"] for row in world.records.rows(_MADE_GROUPS)}
    for group_id in sorted(made - world.answers.groups.keys()):
        yield f"group {group_id} was never answered for, or was deleted"
    for rule_id, group_id in rules.items():
        if group_id in made and rule_id not in world.answers.rules:
            yield f"rule {rule_id} of {group_id} was never answered for, or was revoked"


_MADE_GROUPS = "SELECT group_id FROM security_group WHERE group_name <> 'default'"


def addresses_are_as_answered(world) -> Iterator[str]:
    """Each allocated address is there and belongs to the instance that the last answer said."""
    there = {row["allocation_id"] for row in world.records.table("public_address")} - {None}
    holders = {row["allocation_id"]: row["instance_id"] for row in world.records.rows(ASSOCIATIONS)}
    for allocation_id, promised in world.answers.addresses.items():
        if allocation_id not in there:
            yield f"{allocation_id} is lost"
        elif promised is not None and (holders.get(allocation_id) or "") != promised:
            yield f"{allocation_id} is with {holders.get(allocation_id)}, promised {promised}"
    for allocation_id in sorted(there - world.answers.addresses.keys()):
        yield f"{allocation_id} was never answered for, or was released"


LIVING = """
SELECT volume_id AS id FROM volume UNION SELECT vpc_id FROM vpc UNION SELECT subnet_id FROM subnet
UNION SELECT network_interface_id FROM network_interface
UNION SELECT snapshot_id FROM snapshot WHERE status <> 'deleting'
UNION SELECT image_id FROM image WHERE status NOT IN ('pending_delete', 'deleted')
"""
PREFIXES = ("vol-", "snap-", "ami-", "vpc-", "subnet-", "eni-")


def tags_are_as_answered(world) -> Iterator[str]:
    """Each tag has the value that it was last given, or is gone, with what it was on."""
    there = {(row["resource_id"], row["key"]): row["value"] for row in world.records.table("tag")}
    living = {row["id"] for row in world.records.rows(LIVING)}
    for key, promised in world.answers.tags.items():
        if key[0].startswith(PREFIXES) and key[0] not in living:
            continue  # whether it may have gone is another question (holdings)
        if there.get(key) != promised:
            yield f"tag {key} is {there.get(key)!r}, promised {promised!r}"


def quotas_are_as_answered(world) -> Iterator[str]:
    """Each maximum is what the operator last set."""
    there = {
        (row["account_id"], row["name"]): row["maximum"] for row in world.records.table("quota")
    }
    for key, promised in world.answers.quotas.items():
        if there.get(key) != promised:
            yield f"quota {key} is {there.get(key)}, promised {promised}"
