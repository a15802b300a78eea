"""``python -m gateway --config FILE``: runs one gateway until SIGTERM or SIGINT."""

import argparse
import logging
import signal
import sys
import threading
from pathlib import Path

from gateway.config import Config, load
from gateway.server import Gateway
from protos.config import ConfigError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m gateway", description=__doc__)
    parser.add_argument(
        "--config", type=Path, required=True, help="TOML file, see gateway/config.py"
    )
    try:
        config = load(parser.parse_args().config)
        logging.basicConfig(
            level=config.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
        return run(config)
    except (ConfigError, OSError) as mistake:
        print(f"gateway: {mistake}", file=sys.stderr)
        return 2


def run(config: Config) -> int:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    gateway = Gateway(config)
    port = gateway.start()
    scheme = "https" if config.tls_files else "http"
    logging.getLogger("gateway").info("listening on %s, %s, port %d", config.listen, scheme, port)
    stop.wait()
    gateway.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
