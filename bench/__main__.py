"""``python -m bench`` lists the benchmarks, ``python -m bench NAME [options]`` runs one."""

import ast
import importlib
import pkgutil
import signal
import sys
from pathlib import Path

import bench

ROOT = Path(__file__).resolve().parent.parent
APART = {"__main__", "cloud", "guests", "pairs"}
# How to get what is missing.
EXTRA = f"{sys.executable} -m pip install -r {ROOT}/requirements/bench.txt"
LIBVIRT = (
    f"`{ROOT}/pileus up` as root builds libvirt-python for this machine's libvirt; then run this "
    f"by {ROOT}/.venv/bin/python"
)


def names() -> list[str]:
    return sorted(m.name for m in pkgutil.iter_modules(bench.__path__) if m.name not in APART)


def what(name: str) -> str:
    """A benchmark's first line, read without importing what it needs."""
    source = (Path(__file__).parent / f"{name}.py").read_text()
    return ast.get_docstring(ast.parse(source)).splitlines()[0]


def lacks(missing: ModuleNotFoundError) -> str:
    """What to install, in a sentence."""
    way = LIBVIRT if missing.name == "libvirt" else EXTRA
    return f"bench: the Python module {missing.name} is missing here: {way}"


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] not in names():
        for name in names():
            print(f"{name:16} {what(name)}")
        return 0 if len(sys.argv) < 2 else 2
    name = sys.argv.pop(1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended
    try:
        importlib.import_module(f"bench.{name}").main()
    except ModuleNotFoundError as missing:
        if (ROOT / missing.name.partition(".")[0]).exists():
            raise  # our own: nothing that could be installed
        print(lacks(missing), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
