"""``python -m hostagent --config FILE``: runs a host's agent until it is told to stop.

    --config FILE   may be given several times: several (fake) hosts in one process
    --join TOKEN    the join token, where the file holds none; read from stdin when it is "-"
    --hosts N       so many fake hosts from one file, whatever it says itself
    --audit         prints what is on this host and should not be, and ends: 0 nothing, 1 something,
                    2 the host could not be looked over
    --destroy       removes all guests and networks of this host, and ends; with no agent running

SIGTERM and SIGINT end the agent and leave guests, networks and disks as they are.
"""

import argparse
import logging
import signal
import sys
import threading
import time
from pathlib import Path

from msgspec.structs import replace

from hostagent.audit import describe
from hostagent.config import Config, load
from hostagent.destroy import destroy
from hostagent.enrolment import EnrolmentError
from hostagent.kernel.errors import DriverError, Unavailable
from hostagent.service import Service
from protos import private_files
from protos.config import ConfigError
from protos.errors import CloudError, Kind

log = logging.getLogger("hostagent")

JOIN_PATIENCE_S = 60.0  # a controller that is starting too


def main(arguments: list[str]) -> int:
    private_files.begin()
    options = _parser().parse_args(arguments)
    try:
        configs = _configs(options)
    except ConfigError as wrong:
        print(f"hostagent: {wrong}", file=sys.stderr)
        return 2
    logging.basicConfig(
        level=configs[0].log_level,
        format="%(asctime)s %(levelname)s %(name)s %(threadName)s: %(message)s",
    )
    if options.destroy:
        return _destroy(configs)
    return _audit(configs) if options.audit else _serve(configs)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m hostagent", description="Pileus's host agent")
    parser.add_argument("--config", action="append", required=True, type=Path)
    parser.add_argument("--join", metavar="TOKEN", default="")
    parser.add_argument("--hosts", metavar="N", type=int, default=0)
    parser.add_argument("--audit", action="store_true")
    parser.add_argument("--destroy", action="store_true")
    return parser


def _configs(options: argparse.Namespace) -> list[Config]:
    """Raises ConfigError."""
    token = sys.stdin.readline().strip() if options.join == "-" else options.join
    configs = []
    for path in options.config:
        config = load(path)
        if options.hosts:
            if config.hypervisor != "fake":
                raise ConfigError(f"{path}: --hosts is for fake hosts only")
            config = replace(config, hosts=options.hosts)
        configs += replace(config, join_token=token or config.join_token).each()
    return configs


def _serve(configs: list[Config]) -> int:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    services: list[Service] = []
    try:
        for config in configs:
            service = _enrolled(config, stop)
            if service is None:
                break
            services.append(service)
            service.start()
        else:
            stop.wait()
    except (EnrolmentError, DriverError, CloudError, OSError, ValueError) as failure:
        log.error("cannot start: %s", failure)
        return 1
    finally:
        for service in services:
            service.stop()
    return 0


def _enrolled(config: Config, stop: threading.Event) -> Service | None:
    """The service once it has a certificate; the controller may be starting too. None: stopped."""
    deadline = time.monotonic() + JOIN_PATIENCE_S
    while not stop.is_set():
        try:
            return Service(config)
        except CloudError as failure:
            if failure.kind is not Kind.UNAVAILABLE or time.monotonic() > deadline:
                raise
            log.info("%s: the controller does not answer yet", config.name)
            stop.wait(1.0)
    return None


def _audit(configs: list[Config]) -> int:
    findings = []
    try:
        for config in configs:
            findings += Service(config, only_look=True).audit()
    except (EnrolmentError, DriverError, Unavailable, CloudError, OSError, ValueError) as failure:
        log.error("cannot look this host over: %s", failure)
        return 2
    for line in describe(findings):
        print(line)
    return 1 if findings else 0


def _destroy(configs: list[Config]) -> int:
    try:
        unknown = [name for config in configs for name in destroy(config)]
    except (EnrolmentError, DriverError, Unavailable, OSError, ValueError) as failure:
        log.error("not all is gone: %s", failure)
        return 1
    for name in unknown:
        print(f"domain {name} is of unknown origin and was left alone")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
