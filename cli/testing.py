"""``./pileus test [ARGUMENTS]``: every test through tox, counted in one line at the end.

    ./pileus test                     lint, unit (with simulation and api), clients, real
    ./pileus test -e unit             one environment of tox.ini
    ./pileus test -e unit -- -k pki   the rest goes to pytest

The real tests need root and libvirt; without root they are counted and said to be missing, and the
others run. Called by cli/bootstrap.py.
"""

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from cli.bootstrap import ROOT, TEST_HELP, asks_for_help, libvirt_requirement, libvirt_version

ENVIRONMENTS = ("lint", "unit", "clients", "real")
AT_ONCE = "2"  # on two cores; real waits for its guests half of the time
RESULTS = ROOT / ".tox" / "results"


def main(arguments: Sequence[str]) -> int:
    if asks_for_help(list(arguments)):
        print(TEST_HELP, end="")
        return 0
    chosen, rest = choose(list(arguments))
    root = os.geteuid() == 0
    skipped = [name for name in chosen if name == "real" and not root]
    running = [name for name in chosen if name not in skipped]
    environment = {**os.environ}
    if "real" in running:
        environment["PILEUS_LIBVIRT"] = " ".join(libvirt_requirement(libvirt_version()))
    for old in RESULTS.glob("*.xml"):
        old.unlink()
    failed = False
    if running:
        command = [sys.executable, "-m", "tox", *tox_words(running, rest)]
        failed = subprocess.run(command, cwd=ROOT, env=environment).returncode != 0
    counts = count(RESULTS)
    if skipped:
        print("The real tests did not run: they need root (libvirt, network namespaces).")
        counts["skipped"] += _real_tests()
    print(summary(counts))
    return 1 if failed or counts["failed"] else 0


def choose(arguments: list[str]) -> tuple[list[str], list[str]]:
    """(environments of tox, what is left of the arguments)."""
    if arguments[:1] in (["-e"], ["--env"]) and len(arguments) > 1:
        return arguments[1].split(","), arguments[2:]
    return list(ENVIRONMENTS), arguments


def tox_words(running: list[str], rest: list[str]) -> list[str]:
    """One environment by itself says what it does while it does it. Of several, two run at once, in
    the order that tox.ini gives them, and each is shown whole when it has ended.
    """
    how = ["run"] if len(running) == 1 else ["run-parallel", "--parallel", AT_ONCE]
    return [*how, "-e", ",".join(running), *rest]


def count(results: Path) -> Counter[str]:
    """passed, failed and skipped, from the JUnit files that pytest leaves, one an environment."""
    counts: Counter[str] = Counter()
    for path in sorted(results.glob("*.xml")):
        for suite in ElementTree.parse(path).getroot().iter("testsuite"):
            total, bad = int(suite.get("tests", 0)), 0
            for kind in ("failures", "errors"):
                bad += int(suite.get(kind, 0))
            skipped = int(suite.get("skipped", 0))
            counts["failed"] += bad
            counts["skipped"] += skipped
            counts["passed"] += total - bad - skipped
    return counts


def _real_tests() -> int:
    """How many there are, by the names of their functions: collecting them would need libvirt."""
    files = Path(ROOT / "tests" / "real").glob("test_*.py")
    return sum(
        line.startswith(("def test_", "    def test_"))
        for path in files
        for line in path.read_text().splitlines()
    )


def summary(counts: Counter[str]) -> str:
    line = f"{counts['passed']} passed, {counts['failed']} failed"
    return f"{line}, {counts['skipped']} skipped" if counts["skipped"] else line


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
