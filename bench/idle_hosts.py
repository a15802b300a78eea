"""What idle hosts cost the controller: its share of one core while they only report.

A cloud with fake hosts made for it, all of one agent process. Beside the controller's share stands
the agents', which is what pretending that many hosts costs.
"""

import argparse
import os
import time
from pathlib import Path

from bench import cloud as clouds
from bench.memory import pids
from bench.pairs import Spread, report

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench idle_hosts", description=__doc__)
    options.add_argument("--hosts", type=int, default=500)
    options.add_argument("--rounds", type=int, default=4)
    options.add_argument("--seconds", type=float, default=30)
    chosen = options.parse_args()
    with clouds.fake_pileus(chosen.hosts) as cloud:
        time.sleep(chosen.seconds)  # their first reports, which are not idle
        shares = [shares_of_a_core(cloud.state_dir, chosen.seconds) for _ in range(chosen.rounds)]
    rows = [
        (service, f"{Spread.of([share[service] for share in shares]):.0%} of one core")
        for service in ("controller", "hostagent")
    ]
    report(f"{chosen.hosts} idle hosts", rows)


def shares_of_a_core(folder: Path, seconds: float) -> dict[str, float]:
    """CPU seconds a second of each service while ``seconds`` go by."""
    services = ("controller", "hostagent")
    began, before = time.monotonic(), {name: cpu_s(name, folder) for name in services}
    time.sleep(seconds)
    took = time.monotonic() - began
    return {name: (cpu_s(name, folder) - before[name]) / took for name in services}


def cpu_s(service: str, folder: Path) -> float:
    """CPU seconds that the processes of a service have used, user's and system's."""
    total = 0
    for pid in pids(service, folder):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])  # utime, stime: proc_pid_stat(5)
    return total / TICKS_A_SECOND


if __name__ == "__main__":
    main()
