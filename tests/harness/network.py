"""The simulated network: calls between processes are lost, late, doubled, or lose their reply.

A call is synchronous, as gRPC's are for its caller. What can go wrong with it:

    lost        the request never arrives                       caller: UNAVAILABLE, nothing done
    reply_lost  it is done, the answer is lost                  caller: UNAVAILABLE, done
    late        it is done after the caller has given up        caller: UNAVAILABLE, done later
    doubled     it is done, and done once more later            caller: its answer

Late and doubled requests overtake others: that is the reordering. A process without power or cut
off answers nothing. Whether a caller tries again is the caller's affair.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from protos.errors import CloudError, Kind
from tests.harness.event_queue import EventQueue
from tests.harness.power import PowerCut


@dataclass(frozen=True)
class NetworkFaults:
    """How often what goes wrong, each a probability per call; ``late_ms`` is the longest delay."""

    lost: float = 0.0
    reply_lost: float = 0.0
    late: float = 0.0
    doubled: float = 0.0
    late_ms: int = 20_000


NO_FAULTS = NetworkFaults()


class Process(Protocol):
    """What the network must know of a process."""

    name: str

    @property
    def alive(self) -> bool: ...

    def lose_power(self, why: str) -> None: ...


class Network:
    """All calls of one cloud pass here."""

    def __init__(self, events: EventQueue, rng: random.Random, faults: NetworkFaults = NO_FAULTS):
        self.faults = faults
        self.cut_off: set[str] = set()  # names of processes that nobody reaches and that reach none
        self.last_arrival_ms = 0  # of what is still on its way
        self._events, self._rng = events, rng

    def call(self, source: str, target: Process, what: str, deliver: Callable[[], object]):
        """``deliver()`` makes the call at the target; its answer, or CloudError."""
        fate = self._fate()
        if fate == "lost" or not self._reaches(source, target):
            raise unreachable(f"{what} from {source} to {target.name}")
        if fate == "late":
            self._again(source, target, what, deliver)
            raise unreachable(f"{what} from {source} to {target.name} is late")
        answer = deliver_to(target, what, deliver)
        if fate == "doubled":
            self._again(source, target, what, deliver)
        if fate == "reply_lost":
            raise unreachable(f"the answer to {what} from {source} to {target.name}")
        return answer

    def _fate(self) -> str:
        faults = self.faults
        if faults is NO_FAULTS:
            return "delivered"
        drawn = self._rng.random()
        for fate in ("lost", "reply_lost", "late", "doubled"):
            drawn -= getattr(faults, fate)
            if drawn < 0:
                return fate
        return "delivered"

    def _reaches(self, source: str, target: Process) -> bool:
        return target.alive and source not in self.cut_off and target.name not in self.cut_off

    def _again(self, source: str, target: Process, what: str, deliver: Callable) -> None:
        def arrive():
            if not self._reaches(source, target):
                return
            try:
                deliver_to(target, what, deliver)
            except CloudError as refusal:
                if refusal.kind is Kind.BUG:
                    raise

        delay_ms = self._rng.randrange(1, self.faults.late_ms)
        self.last_arrival_ms = max(self.last_arrival_ms, self._events.now_ms + delay_ms)
        self._events.after(delay_ms, f"{what} arrives late at {target.name}", arrive)


def deliver_to(target: Process, what: str, deliver: Callable[[], object]):
    """Lets the target work. Where its power fails meanwhile, the caller only sees silence."""
    try:
        return deliver()
    except PowerCut as cut:
        if cut.process != target.name:
            raise
        target.lose_power(cut.at)
        raise unreachable(f"{what}: {target.name} died at {cut.at}") from None


def unreachable(because: str) -> CloudError:
    """What protos/rpc.py makes of a transport failure."""
    return CloudError(
        Kind.UNAVAILABLE,
        "A service that is needed for this does not answer. Try again.",
        reason="unreachable",
        because=because,
    )
