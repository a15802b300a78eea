"""Whether one guest answers on its network: EC2's instance status check.

    check.begin(spec, now) -> {...}     its machine has just started (anew)
    check.look(entry, now) -> {...}     what is new of it, as the ledger notes it; mostly nothing
    check.due                           when to look again

    INITIALIZING   asked every poll_ms, until it answers             -> CHECK_PASSED
                                        or status_check_ms are over  -> CHECK_FAILED
    CHECK_PASSED   asked at each audit; two in a row in vain         -> CHECK_FAILED
    CHECK_FAILED   asked at each audit                               -> CHECK_PASSED

Called by running, for a guest that runs. No waiting in here: who is asked at an audit has until
the next poll to answer. What is remembered may be lost at any time; the guest is then asked anew
and the time that it has begins again.
"""

import logging
from collections.abc import Callable

from hostagent.compute.limits import Limits
from hostagent.compute.progress import Changes, Instance
from hostagent.kernel.errors import DriverError
from hostagent.network.drivers import Network
from protos.cloud.v1 import fleet_pb2
from protos.cloud.v1.fleet_pb2 import CHECK_FAILED, CHECK_PASSED, INITIALIZING, NOT_CHECKED

log = logging.getLogger(__name__)


class StatusCheck:
    """See the module's head. ``clock`` is the wall's, for stamps."""

    def __init__(self, network: Network, limits: Limits, clock: Callable[[], int]):
        self._network, self._limits, self._clock = network, limits, clock
        self._begun: int | None = None  # since when it may take its time; None: nobody saw it start
        self._asked_at: int | None = None  # an audit's question that is not answered yet
        self._missed_ms: int | None = None  # wall's time of an audit that it did not answer
        self.due = 0

    def begin(self, spec: fleet_pb2.InstanceSpec, now: int) -> Changes:
        self._begun, self._asked_at, self._missed_ms = now, None, None
        answered = self._answers(spec, anew=True)
        self.due = now + (self._limits.audit_ms if answered else self._limits.poll_ms)
        return self._became(CHECK_PASSED if answered else INITIALIZING)

    def look(self, entry: Instance, now: int) -> Changes:
        """Asks nobody before it is ``due``."""
        if now < self.due:
            return {}
        known = entry.progress.status_check
        if known == NOT_CHECKED:
            return self.begin(entry.spec, now)
        if known == INITIALIZING:
            return self._await_first(entry.spec, now)
        return self._audit(entry.spec, known, now)

    def _await_first(self, spec: fleet_pb2.InstanceSpec, now: int) -> Changes:
        """Its check has failed since its start if it does not answer in time, as in EC2."""
        anew = self._begun is None
        begun = self._begun = now if self._begun is None else self._begun
        if self._answers(spec, anew=anew):
            self.due = now + self._limits.audit_ms
            return self._became(CHECK_PASSED)
        end = begun + self._limits.status_check_ms
        if now >= end:
            self.due = now + self._limits.audit_ms
            return {"status_check": CHECK_FAILED}
        self.due = min(now + self._limits.poll_ms, end)
        return {}

    def _audit(
        self, spec: fleet_pb2.InstanceSpec, known: fleet_pb2.StatusCheck, now: int
    ) -> Changes:
        first = self._asked_at is None
        asked_at = self._asked_at = now if self._asked_at is None else self._asked_at
        answered = self._answers(spec, anew=first)
        if first and not answered:
            self.due = now + self._limits.poll_ms
            return {}
        self._asked_at, self.due = None, asked_at + self._limits.audit_ms
        if answered:
            self._missed_ms = None
            return {} if known == CHECK_PASSED else self._became(CHECK_PASSED)
        if known == CHECK_PASSED and self._missed_ms is not None:
            return {"status_check": CHECK_FAILED, "status_check_since_ms": self._missed_ms}
        if known == CHECK_PASSED:
            self._missed_ms = self._clock()
        return {}

    def _became(self, status_check: fleet_pb2.StatusCheck) -> Changes:
        return {"status_check": status_check, "status_check_since_ms": self._clock()}

    def _answers(self, spec: fleet_pb2.InstanceSpec, *, anew: bool) -> bool:
        """Its primary interface does. Where that or its network is not there, nobody can."""
        primary = sorted(spec.nics, key=lambda nic: nic.device_index)[:1]
        try:
            return any(self._network.reached(nic, anew=anew) for nic in primary)
        except DriverError as failure:
            log.warning("%s cannot be asked: %s", spec.instance_id, failure)
            return False
