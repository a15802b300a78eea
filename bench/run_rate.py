"""RunInstances: answered, running, 50 and 1,000 in one call, and calls per second; 50 fake hosts.

The rate is set against moto's server, in turn. Instances are terminated between rounds, uncounted.
"""

import argparse
import time

from bench import cloud as clouds
from bench.pairs import Spread, duration, in_turn, rate, report

DEADLINE_S = 60


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench run_rate", description=__doc__)
    options.add_argument("--hosts", type=int, default=50)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=2.0, help="of each turn")
    chosen = options.parse_args()
    print(clouds.machine())
    with clouds.fake_pileus(hosts=chosen.hosts) as ours, clouds.moto() as theirs:
        image, their_image = ours.image_id(), clouds.moto_image(theirs)
        ec2 = ours.client()  # making one takes boto3 longer than a launch takes
        answered, running, fifty, thousand = [], [], [], []
        for _ in range(chosen.rounds + 1):
            answered.append(duration(lambda: launch(ec2, image, 1)) * 1000)
            running.append(until_running(ec2, image, 1) * 1000)
            fifty.append(until_running(ec2, image, 50))
            terminate_all(ours)
            thousand.append(duration(lambda: launch(ec2, image, 1000)))
            terminate_all(ours)
        report(
            f"fake hypervisor, {chosen.hosts} hosts: median (lowest .. highest), the first apart",
            [
                ("RunInstances answered, ms", f"{Spread.of(answered[1:]):.1f}"),
                ("RunInstances to running, ms", f"{Spread.of(running[1:]):.1f}"),
                ("50 in one call, all running, s", f"{Spread.of(fifty[1:]):.2f}"),
                ("1,000 in one call answered, s", f"{Spread.of(thousand[1:]):.2f}"),
            ],
        )
        ours_rate, moto_rate, ratio = in_turn(
            lambda: launch_rate(ours, image, chosen.seconds),
            lambda: launch_rate(theirs, their_image, chosen.seconds),
            chosen.rounds,
        )
        report(
            "RunInstances of one, calls per second",
            [
                ("pileus", f"{ours_rate:.1f}"),
                ("moto", f"{moto_rate:.1f}"),
                ("pileus / moto", f"{ratio:.2f}"),
            ],
        )


def launch(ec2, image: str, count: int) -> list[str]:
    answer = ec2.run_instances(
        ImageId=image, InstanceType="t2.nano", MinCount=count, MaxCount=count
    )
    return [instance["InstanceId"] for instance in answer["Instances"]]


def until_running(ec2, image: str, count: int) -> float:
    """Seconds from the call to the first Describe that shows all of them running."""
    begin = time.perf_counter()
    ids = set(launch(ec2, image, count))
    while time.perf_counter() - begin < DEADLINE_S:
        answer = ec2.describe_instances(
            Filters=[{"Name": "instance-state-name", "Values": ["running"]}]
        )
        running = {i["InstanceId"] for r in answer["Reservations"] for i in r["Instances"]}
        if ids <= running:
            return time.perf_counter() - begin
    raise SystemExit(f"not all of {count} instances were running after {DEADLINE_S} s")


def launch_rate(cloud: clouds.Cloud, image: str, seconds: float) -> float:
    ec2 = cloud.client()
    figure = rate(lambda: launch(ec2, image, 1), seconds)
    terminate_all(cloud)
    return figure


def terminate_all(cloud: clouds.Cloud) -> None:
    """Ends everything and waits until nothing but terminated instances is left."""
    ec2 = cloud.client()
    living = ["pending", "running", "stopping", "stopped", "shutting-down"]
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        answer = ec2.describe_instances(Filters=[{"Name": "instance-state-name", "Values": living}])
        ids = [i["InstanceId"] for r in answer["Reservations"] for i in r["Instances"]]
        if not ids:
            return
        ec2.terminate_instances(InstanceIds=ids)
        time.sleep(0.2)
    raise SystemExit(f"instances still living after {DEADLINE_S} s")


if __name__ == "__main__":
    main()
