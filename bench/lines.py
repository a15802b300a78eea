"""Lines of code per room: what git tracks, without blank lines and comment lines."""

import subprocess
from collections import Counter

from bench.cloud import ROOT
from bench.pairs import report

ROOMS = ("protos", "gateway", "controller", "hostagent", "cli", "tests", "bench")


def main() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z", *ROOMS], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split("\0")
    lines, files = Counter(), Counter()
    for name in tracked:
        if name.endswith((".py", ".proto", ".sh")):
            text = (ROOT / name).read_text().splitlines()
            code = [
                line for line in text if line.strip() and not line.lstrip().startswith(("#", "//"))
            ]
            lines[name.split("/")[0]] += len(code)
            files[name.split("/")[0]] += 1
    rows = [(room, f"{lines[room]:6} lines in {files[room]:3} files") for room in ROOMS]
    report("lines of code per room", rows)


if __name__ == "__main__":
    main()
