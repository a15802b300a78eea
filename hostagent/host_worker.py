"""Looks the host over now and then: its own network is there, what is left over goes, what is of
unknown origin is reported."""

import logging
from collections.abc import Callable, Iterable

from hostagent.audit import Audit
from hostagent.compute.host import Drivers
from hostagent.compute.limits import Limits
from hostagent.kernel.errors import DriverError, NotYet
from hostagent.ledger import HostLedger

log = logging.getLogger(__name__)


class HostWorker:
    """kernel.Worker, for the host itself. set_orphans: told the names of unknown domains."""

    def __init__(
        self,
        ledger: HostLedger,
        drivers: Drivers,
        set_orphans: Callable[[Iterable[str]], None],
        limits: Limits,
    ):
        self._on, self._audit = drivers, Audit(ledger, drivers)
        self._set_orphans, self._limits = set_orphans, limits

    def step(self, now: int) -> int | None:
        try:
            self._on.network.ensure_host()
            self._set_orphans(self._audit.tidy())
        except NotYet as wait:
            return now + wait.retry_ms
        except DriverError as failure:
            log.warning("the host could not be looked over: %s", failure)
            return now + self._limits.backoff_most_ms
        return now + self._limits.audit_ms
