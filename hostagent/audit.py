"""What is on this host that the ledger does not know: leftovers and what is of unknown origin.

    audit.findings() -> [Finding("volume", "vol-1", ours=True), ...]
    audit.tidy() -> names of unknown domains (the report's orphans)

A *leftover* is provably ours and forgotten: the ledger remembers that something of that name was
here and was torn down. The agent clears it away. Anything else is of *unknown origin*; it is
reported and left alone, for a lost ledger must never cost a guest. Called by host_worker (at its
start, and now and then) and by ``python -m hostagent --audit``.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hostagent.compute.console import console_files
from hostagent.compute.host import Drivers
from hostagent.kernel.errors import DriverError, NotYet
from hostagent.ledger import HostLedger
from hostagent.storage.volumes.known import volumes_here

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finding:
    """One thing that should not be here. ``kind`` is domain, volume, console or vpc."""

    kind: str
    name: str
    ours: bool  # a leftover: the ledger knows that it was torn down

    def __str__(self) -> str:
        return f"{self.kind} {self.name} ({'left over' if self.ours else 'of unknown origin'})"


class Audit:
    """See the module's head."""

    def __init__(self, ledger: HostLedger, drivers: Drivers):
        self._ledger, self._on = ledger, drivers

    def findings(self) -> list[Finding]:
        """What is here is listed before the ledger is read: what it forgets meanwhile is a leftover
        that is gone already. Raises DriverError.
        """
        on = self._on
        here = {
            "domain": set(on.hypervisor.domains()),
            "vpc": set(on.network.vpcs()),
            "volume": set(on.volumes.volumes()),
            "export": set(on.exports.served()),
            "console": {path.name.partition(".log")[0] for path in on.consoles.glob("*.log*")},
        }
        belongs = self._belongs()
        return [
            Finding(kind, name, self._ledger.was_here(name))
            for kind, names in here.items()
            for name in sorted(names - belongs[kind])
        ]

    def tidy(self) -> list[str]:
        """Removes leftovers (one that resists: again at the next audit). Lists unknown domains."""
        unknown = []
        for finding in self.findings():
            if not finding.ours:
                if finding.kind == "domain":
                    unknown.append(finding.name)
                continue
            try:
                log.warning("clearing away: %s", finding)
                self._remove(finding)
            except (DriverError, NotYet) as failure:
                log.warning("%s stays for now: %s", finding, failure)
        return unknown

    def _belongs(self) -> dict[str, set[str]]:
        instances = set(self._ledger.instances.all())
        return {
            "domain": instances,
            "vpc": self._on.vpcs.wanted(),
            "volume": volumes_here(self._ledger),
            "export": set(self._ledger.volumes.all()),
            "console": instances,
        }

    def _remove(self, finding: Finding) -> None:
        removers: dict[str, Callable[[str], object]] = {
            "domain": self._on.hypervisor.remove,
            "vpc": self._on.network.remove_vpc,
            "volume": self._on.manager.remove,
            "export": self._on.exports.withdraw,
            "console": self._remove_console,
        }
        removers[finding.kind](finding.name)

    def _remove_console(self, instance_id: str) -> None:
        for path in console_files(self._on.consoles, instance_id):
            path.unlink(missing_ok=True)


def describe(findings: list[Finding]) -> Iterator[str]:
    """Lines for an operator."""
    yield from map(str, findings)
    yield f"{len(findings)} things here should not be" if findings else "nothing here is too much"
