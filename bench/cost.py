"""SQL statements and RPCs of one RunInstances, from the call until the instance runs.

The three services in this process, wired as their own ``__main__`` do, over their sockets; counted
at the controller, which is an end of every RPC. BEGIN and COMMIT apart; apart too what goes on
without launches: reconcile tasks, key changes, reports that observe nothing.
"""

import argparse
import contextlib
import dataclasses
import logging
import sqlite3
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from bench import cloud as clouds
from bench.pairs import report

STATEMENTS, RPCS = 24, 4  # the bars
DEADLINE_S = 30


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench cost", description=__doc__)
    options.add_argument("--launches", type=int, default=20)
    options.add_argument("--list", action="store_true", help="what the median launch was made of")
    chosen = options.parse_args()
    logging.basicConfig(level="ERROR")
    counted = Counted()
    with clouds.fake_pileus() as cloud:
        clouds.pileus("down", "--state-dir", str(cloud.state_dir))
        with services(cloud.state_dir, counted):
            cloud.client().create_key_pair(KeyName="bench")
            launch(cloud, counted)  # the VPC comes to the host, the signing key to the gateway
            spent = [launch(cloud, counted) for _ in range(chosen.launches)]
    rows = []
    for name, bar, costs in (
        ("SQL statements", STATEMENTS, [len(statements) for statements, _ in spent]),
        ("RPCs", RPCS, [len(rpcs) for _, rpcs in spent]),
    ):
        figures = f"{min(costs)} .. {max(costs)}"
        rows.append((name, f"{statistics.median(costs):g} ({figures}), bar {bar}"))
    report(f"RunInstances of one, {chosen.launches} times: median (lowest .. highest)", rows)
    if chosen.list:
        statements, rpcs = sorted(spent, key=lambda cost: len(cost[0]))[len(spent) // 2]
        print(*(f"  {line[:110]}" for line in (*rpcs, *statements)), sep="\n")


class Counted:
    """What happened since ``clear``, in order."""

    def __init__(self):
        self.statements: list[str] = []
        self.rpcs: list[str] = []

    def clear(self) -> None:
        self.statements.clear()
        self.rpcs.clear()

    def statement(self, sql: str) -> None:
        if not threading.current_thread().name.startswith(("tasks", "fetch-image")):
            self.statements.append(sql)

    def around(self, target: object, name: str) -> "CountedCalls":
        return CountedCalls(target, name, self)


class CountedCalls:
    """A servicer or a client whose calls are counted."""

    def __init__(self, target: object, name: str, counted: Counted):
        self._target, self._name, self._counted = target, name, counted

    def __getattr__(self, method: str):
        call = getattr(self._target, method)

        def counting(request, *more, **named):
            idle = method == "Report" and not request.observations
            if not idle and method != "ListKeyChanges":
                self._counted.rpcs.append(f"{self._name}.{method}")
            return call(request, *more, **named)

        return counting


@contextlib.contextmanager
def services(folder: Path, counted: Counted) -> Iterator[None]:
    """Controller, host agent and gateway from the files that `pileus up` has written."""
    import controller.config
    import gateway.config
    import hostagent.config
    from controller import server
    from gateway.server import Gateway
    from hostagent.service import Service

    config = controller.config.load(folder / "controller.toml")
    db = server.open_database(config)
    agents = server.AgentClients(config)
    app = server.build_app(config, db, lambda *where: counted.around(agents(*where), "HostAgent"))
    servicers = {name: counted.around(one, name) for name, one in app.servicers.items()}
    running = [server.Server(config, dataclasses.replace(app, servicers=servicers))]
    running[0].start()
    (host,) = hostagent.config.load(folder / "host.toml").each()
    running += [Service(host), Gateway(gateway.config.load(folder / "gateway.toml"))]
    for service in running[1:]:
        service.start()
    db.on_statement = counted.statement
    try:
        yield
    finally:
        for service in reversed(running):
            service.stop()


def launch(cloud: clouds.Cloud, counted: Counted) -> tuple[list[str], list[str]]:
    """Launches one instance with all that scripts give it; the statements and RPCs of that."""
    ec2, image_id = cloud.client(), cloud.image_id()
    counted.clear()
    answer = ec2.run_instances(
        ImageId=image_id,
        InstanceType="t2.nano",
        MinCount=1,
        MaxCount=1,
        KeyName="bench",
        UserData="#!/bin/sh",
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "bench"}]}
        ],
    )
    wait_until_running(cloud, answer["Instances"][0]["InstanceId"])
    time.sleep(0.05)  # the answer to the report that said so
    return list(counted.statements), list(counted.rpcs)


def wait_until_running(cloud: clouds.Cloud, instance_id: str) -> None:
    """Looks into the database itself: a Describe would count."""
    file = cloud.state_dir / "controller" / "pileus.db"
    question = "SELECT observed FROM assignment WHERE kind = 'instance' AND resource_id = ?"
    deadline = time.monotonic() + DEADLINE_S
    with contextlib.closing(sqlite3.connect(file)) as db:
        while db.execute(question, (instance_id,)).fetchone() != ("running",):
            if time.monotonic() > deadline:
                raise SystemExit(f"{instance_id} did not run within {DEADLINE_S} s")
            time.sleep(0.005)


if __name__ == "__main__":
    main()
