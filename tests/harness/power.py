"""Cutting the power of a simulated process, at a checkpoint or between two events.

The rooms call ``checkpoint(name)`` before and after every commit, ledger write and step, for tests
like this one. ``Supply.checkpoint`` is that callable for one process: it
counts, and where the cut is due it raises PowerCut, a BaseException that no handler of the rooms
catches, as no handler outlives a real power failure. Whoever called the process (network.py) then
sees a peer that does not answer, and what the process held in memory is dropped.
"""


class PowerCut(BaseException):
    """The process has lost its power. ``process`` is the Supply's name, ``at`` the checkpoint."""

    def __init__(self, process: str, at: str):
        super().__init__(f"{process} lost its power at {at}")
        self.process, self.at = process, at


class Supply:
    """One process's power. ``passed`` keeps the names of the checkpoints passed, where asked."""

    def __init__(self, process: str, *, keep: bool = False):
        self.process = process
        self.passed: list[str] = []
        self.count = 0
        self._keep = keep
        self._cut_at: int | None = None

    def cut_in(self, checkpoints: int) -> None:
        """The power fails at the n-th checkpoint from now: 1 is the next one."""
        self._cut_at = self.count + checkpoints

    def mend(self) -> None:
        """No cut is planned any more."""
        self._cut_at = None

    @property
    def doomed(self) -> bool:
        return self._cut_at is not None

    def checkpoint(self, name: str) -> None:
        self.count += 1
        if self._keep:
            self.passed.append(name)
        if self._cut_at is not None and self.count >= self._cut_at:
            self._cut_at = None
            raise PowerCut(self.process, name)
