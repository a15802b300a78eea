"""``python -m hostagent.network check|inventory|destroy [--prefix P] [--pool C] [--transit C]``

    check       0 when the pool and the transit range are free on this host, else 1 and why
    inventory   everything here under the prefix, as JSON; 0 when no VPC has anything here, else 1
    destroy     takes all of it away, running guests' networks included; for ``down --destroy``

For the operator, ``pileus`` and tests. Needs root.
"""

import argparse
import dataclasses
import json
import sys

from hostagent.kernel import shell
from hostagent.kernel.errors import DriverError
from hostagent.network import addresses
from hostagent.network.config import NetworkConfig
from hostagent.network.linux import LinuxNetwork


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    try:
        config = NetworkConfig(prefix=options.prefix, pool=options.pool, transit=options.transit)
        network = LinuxNetwork(config, run=shell.run)
        if options.what == "check":
            return _check(config)
        if options.what == "destroy":
            network.destroy_all()
        found = network.inventory()
    except (DriverError, ValueError) as failure:
        print(f"pileus network: {failure}", file=sys.stderr)
        return 2
    print(json.dumps(dataclasses.asdict(found), indent=2))
    return 1 if found.of_vpcs() else 0


def _check(config: NetworkConfig) -> int:
    problems = addresses.check_ranges(
        config.pool,
        config.transit,
        addresses.host_ranges(config),
        addresses.resolvers_of(config),
    )
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m hostagent.network")
    parser.add_argument("what", choices=("check", "inventory", "destroy"))
    defaults = NetworkConfig()
    for name in ("prefix", "pool", "transit"):
        parser.add_argument(f"--{name}", default=getattr(defaults, name))
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
