"""``python -m bench`` lists the benchmarks, ``python -m bench NAME [options]`` runs one."""

import importlib
import pkgutil
import signal
import sys

import bench

APART = {"__main__", "cloud", "pairs"}


def names() -> list[str]:
    return sorted(m.name for m in pkgutil.iter_modules(bench.__path__) if m.name not in APART)


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] not in names():
        for name in names():
            print(f"{name:16} {importlib.import_module(f'bench.{name}').__doc__.splitlines()[0]}")
        return 0 if len(sys.argv) < 2 else 2
    name = sys.argv.pop(1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended
    importlib.import_module(f"bench.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
