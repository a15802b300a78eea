"""``python -m gateway --config FILE``: runs one gateway until SIGTERM or SIGINT."""

import argparse
import logging
import sys
from pathlib import Path

from gateway.config import load
from gateway.server import serve
from gateway.workers import WorkerDied
from protos import private_files
from protos.config import ConfigError


def main() -> int:
    private_files.begin()
    parser = argparse.ArgumentParser(prog="python -m gateway", description=__doc__)
    parser.add_argument(
        "--config", type=Path, required=True, help="TOML file, see gateway/config.py"
    )
    try:
        config = load(parser.parse_args().config)
        logging.basicConfig(
            level=config.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
        serve(config)
    except (ConfigError, OSError) as mistake:
        print(f"gateway: {mistake}", file=sys.stderr)
        return 2
    except WorkerDied as failure:
        print(f"gateway: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
