"""Idle memory of gateway, controller and host agent: proportional set size, from /proc, in MB.

Of the cloud that runs from --state-dir, or, without one, of a cloud with a fake host made for it.
"""

import argparse
import contextlib
from pathlib import Path

from bench import cloud as clouds
from bench.pairs import report

SERVICES = ("gateway", "controller", "hostagent")


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench memory", description=__doc__)
    options.add_argument("--state-dir", type=Path)
    chosen = options.parse_args()
    with contextlib.ExitStack() as stack:
        folder = chosen.state_dir or stack.enter_context(clouds.fake_pileus()).state_dir
        sizes = {service: pss_mb(service, folder) for service in SERVICES}
    rows = [(service, f"{size:.0f}") for service, size in sizes.items()]
    report("idle memory, PSS in MB", [*rows, ("together", f"{sum(sizes.values()):.0f}")])


def pids(service: str, folder: Path) -> list[int]:
    """The processes of a service whose command line names the folder. SystemExit: there is none."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # a process may end while it is looked at
            command = (process / "cmdline").read_bytes().decode().split("\0")
            if f"-m\0{service}\0" in "\0".join(command) and str(folder) in " ".join(command):
                found.append(int(process.name))
    if not found:
        raise SystemExit(f"no process of {service} runs from {folder}")
    return found


def pss_mb(service: str, folder: Path) -> float:
    """PSS of all processes of a service whose command line names the folder."""
    total_kb = 0
    for pid in pids(service, folder):
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        total_kb += sum(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
    return total_kb * 1024 / 1e6


if __name__ == "__main__":
    main()
