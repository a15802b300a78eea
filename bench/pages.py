"""One page of DescribeInstances with 100,000 instances against one with 1,000, in turn.

Two clouds with a fake host each. Their instances are rows copied in the controller's database from
one that was launched, some at a time, on a host that is never sent anything. The answers are not
parsed: boto3 takes longer for a page of 1,000 than the cloud does.
"""

import argparse
import contextlib
import re
import sqlite3
from collections.abc import Callable

from bench import cloud as clouds
from bench.pairs import duration, in_turn, report

BAR = 1.5
AT_ONCE = 2_000  # copied in one transaction: the controller writes between them
RARE = 50  # instances with the tag that is looked for, however many there are

# Instance n of the copies; the ids are scattered, as real ones are (2654435761 n mod a prime).
_SERIES = """
WITH RECURSIVE series(n) AS (VALUES (:first) UNION ALL SELECT n + 1 FROM series WHERE n < :last),
     copies(n, id) AS (SELECT n, printf('%017x', (n * 2654435761) % 1000000007) FROM series)
"""
_ADDRESS = "printf('10.%d.%d.%d', (n >> 16) & 255, (n >> 8) & 255, n & 255)"
_MAC = "printf('0e:00:%02x:%02x:%02x:%02x', n >> 24, (n >> 16) & 255, (n >> 8) & 255, n & 255)"
# table -> what differs in a copy; "(template)" is the row that is copied
_COPIES = {
    "instance": {
        "instance_id": "'i-' || id",
        "reservation_id": "'r-' || id",
        "client_token": "''",
    },
    "placement": {
        "placement_id": "'pl-' || id",
        "instance_id": "'i-' || id",
        "host_id": "'h-of-copies'",
    },
    "assignment": {
        "resource_id": "'i-' || id",
        "host_id": "'h-of-copies'",
    },
    "volume": {
        "volume_id": "'vol-' || id",
        "host_id": "'h-of-copies'",
    },
    "network_interface": {
        "network_interface_id": "'eni-' || id",
        "mac_address": _MAC,
        "private_ip": _ADDRESS,
        "public_ip": "NULL",
    },
    "nic_group": {"network_interface_id": "'eni-' || id"},
    "attachment": {
        "device_id": "iif(attachment.kind = 'volume', 'vol-', 'eni-') || id",
        "instance_id": "'i-' || id",
        "attachment_id": "iif(attachment.kind = 'volume', '', 'eni-attach-' || id)",
    },
}
_DEVICES = "(SELECT device_id FROM attachment WHERE instance_id = :template)"
_TEMPLATES = {  # which rows are copied, where not those of the instance by its id
    "assignment": "kind = 'instance' AND resource_id = :template",
    "volume": f"volume_id IN {_DEVICES}",
    "network_interface": f"network_interface_id IN {_DEVICES}",
    "nic_group": f"network_interface_id IN {_DEVICES}",
}


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench pages", description=__doc__)
    options.add_argument("--few", type=int, default=1_000)
    options.add_argument("--many", type=int, default=100_000)
    options.add_argument("--rounds", type=int, default=7)
    chosen = options.parse_args()
    print(clouds.machine())
    with contextlib.ExitStack() as stack:
        few, many = (stack.enter_context(clouds.fake_pileus()) for _ in range(2))
        for cloud, count in ((few, chosen.few), (many, chosen.many)):
            fill(cloud, count)
        rows = []
        for name, asked in questions().items():
            middle = "middle" in name
            few_call = page(few, asked, chosen.few if middle else 0)
            many_call = page(many, asked, chosen.many if middle else 0)
            a, b, ratio = in_turn(
                lambda call=many_call: best(call) * 1000,
                lambda call=few_call: best(call) * 1000,
                chosen.rounds,
            )
            rows.append((name, f"{a.median:8.1f} {b.median:8.1f}   {ratio:.2f}"))
        report(
            f"a page with {chosen.many} and with {chosen.few} instances, ms, and the ratio "
            f"(bar {BAR}): median (lowest .. highest)",
            rows,
        )


def questions() -> dict[str, dict[str, str]]:
    running = {"Filter.1.Name": "instance-state-name", "Filter.1.Value.1": "running"}
    stopped = {"Filter.1.Name": "instance-state-name", "Filter.1.Value.1": "stopped"}
    tagged = {"Filter.1.Name": "tag:role", "Filter.1.Value.1": "rare"}
    return {
        "first page of 1000": {"MaxResults": "1000"},
        "first page of 100": {"MaxResults": "100"},
        "page of 100 in the middle": {"MaxResults": "100"},
        "page of 100, running": {"MaxResults": "100", **running},
        f"the {RARE} with a tag": {"MaxResults": "100", **tagged},
        "page of 100, stopped: none are": {"MaxResults": "100", **stopped},
    }


def best(call: Callable[[], bytes]) -> float:
    """Seconds of the quickest of five: what other work on the machine does not lengthen."""
    return min(duration(call) for _ in range(5))


def page(cloud: clouds.Cloud, asked: dict[str, str], of: int) -> Callable[[], bytes]:
    """The call for a page: the first, or where ``of`` is not 0 one in the middle of so many."""
    size, token = min(1000, of // 10), ""
    for _ in range(of // size // 2 if of else 0):
        more = {"NextToken": token} if token else {}
        body = clouds.raw_call(cloud, "DescribeInstances", MaxResults=str(size), **more)()
        token = re.search(rb"<nextToken>(.*?)</nextToken>", body)[1].decode()
    if token:
        asked = {**asked, "NextToken": token}
    return clouds.raw_call(cloud, "DescribeInstances", **asked)


def fill(cloud: clouds.Cloud, count: int) -> None:
    """Launches one instance, waits until it runs, and copies it."""
    ec2 = cloud.client()
    image_id = cloud.image_id()
    answer = ec2.run_instances(ImageId=image_id, InstanceType="t2.nano", MinCount=1, MaxCount=1)
    instance_id = answer["Instances"][0]["InstanceId"]
    ec2.get_waiter("instance_running").wait(
        InstanceIds=[instance_id], WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    file = cloud.state_dir / "controller" / "pileus.db"
    with contextlib.closing(sqlite3.connect(file, isolation_level=None, timeout=30)) as db:
        copy_host(db, instance_id)
        for first in range(1, count, AT_ONCE):
            last = min(first + AT_ONCE, count) - 1
            copy_rows(db, instance_id, first, last, max(1, (count - 1) // RARE))


def copy_host(db: sqlite3.Connection, instance_id: str) -> None:
    which = "host_id IN (SELECT host_id FROM placement WHERE instance_id = :template)"
    different = {"host_id": "'h-of-copies'", "name": "'copies'", "endpoint": "''"}
    insert(db, "host", different, "", which, template=instance_id)


def copy_rows(db: sqlite3.Connection, instance_id: str, first: int, last: int, every: int) -> None:
    """Instances ``first`` to ``last`` in one transaction; each ``every``-th has the rare tag."""
    values = {"template": instance_id, "first": first, "last": last}
    db.execute("BEGIN IMMEDIATE")
    for table, changes in _COPIES.items():
        template = _TEMPLATES.get(table, "instance_id = :template")
        insert(db, table, changes, _SERIES, template, **values)
    account = "(SELECT account_id FROM instance WHERE instance_id = :template)"
    for key, value, which in (("Name", "copy", "1"), ("role", "rare", f"n % {every} = 0")):
        db.execute(
            f"{_SERIES} INSERT INTO tag (resource_id, key, value, account_id, resource_type)"
            f" SELECT 'i-' || id, '{key}', '{value}', {account}, 'instance' FROM copies"
            f" WHERE {which}",
            values,
        )
    db.execute("COMMIT")


def insert(db, table: str, changes: dict[str, str], series: str, where: str, **values) -> None:
    """Copies the rows of ``table`` for which ``where`` holds, once for each of the series."""
    columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    chosen = ", ".join(changes.get(name, f"{table}.{name}") for name in columns)
    copies = ", copies" if series else ""
    db.execute(
        f"{series} INSERT INTO {table} ({', '.join(columns)})"
        f" SELECT {chosen} FROM {table}{copies} WHERE {where}",
        values,
    )


if __name__ == "__main__":
    main()
