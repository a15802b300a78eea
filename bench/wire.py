"""An empty DescribeInstances without a client library, calls per second, against moto's server.

One request, signed once, sent again and again by wrk (Debian's package) over one kept connection
and over eight; with --before FOLDER also against the Pileus of another checkout. They take turns.
"""

import argparse
import contextlib
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from bench import cloud as clouds
from bench.pairs import Spread, report

CONNECTIONS = (1, 8)


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench wire", description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=3, help="of each turn")
    options.add_argument("--before", type=Path, help="a checkout, such as a git worktree")
    chosen = options.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is needed (Debian: apt-get install wrk)")
    print(clouds.machine())
    with contextlib.ExitStack() as running:
        there = {"pileus": running.enter_context(clouds.fake_pileus(hosts=4))}
        there["moto"] = running.enter_context(clouds.moto())
        if chosen.before:
            before = clouds.fake_pileus(hosts=4, root=chosen.before.resolve())
            there["before"] = running.enter_context(before)
        for cloud in there.values():
            cloud.client().describe_instances()  # moto loads its EC2 at the first call
        for connections in CONNECTIONS:
            compare(there, connections, chosen.rounds, chosen.seconds)


def compare(there: dict[str, clouds.Cloud], connections: int, rounds: int, seconds: int) -> None:
    """Prints the rows of one number of connections."""
    for cloud in there.values():
        rate(cloud, connections, 1)
    figures = [
        {name: rate(cloud, connections, seconds) for name, cloud in there.items()}
        for _ in range(rounds)
    ]
    rows = [(name, f"{Spread.of([turn[name] for turn in figures]):.0f}") for name in there]
    for name in there.keys() - {"pileus"}:
        ratio = Spread.of([turn["pileus"] / turn[name] for turn in figures])
        rows.append((f"pileus / {name}", f"{ratio:.2f}"))
    title = f"connections: {connections}; calls per second: median (lowest .. highest)"
    report(title, rows)


def rate(cloud: clouds.Cloud, connections: int, seconds: int) -> float:
    """Answers per second. Stops where one of them is no success."""
    request = clouds.signed(cloud, "DescribeInstances")
    lines = ['wrk.method = "POST"', f"wrk.body = {json.dumps(request.body)}"]
    for name, value in request.headers.items():
        if name != "Content-Length":  # wrk has its own
            text = value.decode() if isinstance(value, bytes) else value
            lines.append(f"wrk.headers[{json.dumps(name)}] = {json.dumps(text)}")
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write("\n".join(lines))
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
        said = subprocess.run(
            [*command, "-s", script.name, request.url], capture_output=True, text=True, check=True
        ).stdout
    found = re.search(r"Requests/sec:\s*([\d.]+)", said)
    if found is None or not float(found[1]) or "Non-2xx" in said:
        raise SystemExit(f"{cloud.endpoint} does not answer as it should:\n{said}")
    return float(found[1])


if __name__ == "__main__":
    main()
