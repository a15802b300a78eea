"""What calls have made, attached and removed is so, whatever crashed since."""

from collections.abc import Iterator


def what_was_made_is_there(world) -> Iterator[str]:
    """Each thing that an answer named, until its deletion was answered."""
    holdings = world.answers.holdings
    for table, made in holdings.made.items():
        present = holdings.present(table)
        for name, account_id in made.items():
            if present.get(name) != account_id:
                yield f"{table} {name} of {account_id} is lost"


def nothing_was_made_unasked(world) -> Iterator[str]:
    """Nothing is there that no answer named, or whose deletion was answered."""
    holdings = world.answers.holdings
    for table, made in holdings.made.items():
        for name in sorted(holdings.present(table).keys() - made.keys()):
            yield f"{table} {name} was never answered for, or was deleted"


def volumes_are_attached_as_answered(world) -> Iterator[str]:
    """What was attached is with its instance until a detachment is answered, or the instance is
    to go; a guest that was harmed, or that nobody served it, may have been unable to take it. What
    was detached is not attached again."""
    rows = {row["volume_id"]: row for row in world.records.table("held_volume")}
    instances = world.answers.instances
    for volume_id, instance_id in world.answers.holdings.attached.items():
        row = rows.get(volume_id)
        if row is None:
            continue  # what_was_made_is_there says it
        if instance_id is None:
            if row["instance_id"] and not row["detaching"]:
                yield f"{volume_id} was detached and is with {row['instance_id']}"
            continue
        promised = instances.get(instance_id)
        excused = promised is None or promised.desired == "terminated"
        excused = excused or world.was_unserved(volume_id)
        stays = row["instance_id"] == instance_id and not row["detaching"]
        if not stays and not excused and not world.is_harmed(instance_id):
            yield f"{volume_id} was attached to {instance_id}, is with {row['instance_id']}"
