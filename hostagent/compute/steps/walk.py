"""The walk over an instance's steps: forwards to bring it up, backwards to take it down."""

import logging
from collections.abc import Callable, Sequence

from hostagent.compute.steps import Context, Step
from hostagent.kernel.errors import DriverError, NotYet

log = logging.getLogger(__name__)


class Walk:
    """``checkpoint`` is called with a name before each step and at the end."""

    def __init__(self, instance_id: str, steps: Sequence[Step], checkpoint: Callable[[str], None]):
        self._instance_id, self._steps, self._checkpoint = instance_id, steps, checkpoint

    def forwards(self, ctx: Context, is_wanted: Callable[[], bool]) -> bool:
        """Every ``ensure``. Stops between two where it is not wanted any more; answers whether it
        came to the end. Raises what the first that fails raises.
        """
        for step in self._steps:
            if not is_wanted():
                return False
            self._checkpoint(f"step: {step.name} {self._instance_id}")
            step.ensure(ctx)
        self._checkpoint(f"step: done {self._instance_id}")
        return True

    def backwards(self, ctx: Context) -> None:
        """Every ``undo``, whatever the others say; then the first failure is raised."""
        failures: list[DriverError | NotYet] = []
        for step in reversed(self._steps):
            self._checkpoint(f"step: undo {step.name} {self._instance_id}")
            try:
                step.undo(ctx)
            except NotYet as wait:
                failures.append(wait)
            except DriverError as failure:
                log.warning("%s: undo of %s: %s", self._instance_id, step.name, failure)
                failures.append(failure)
        self._checkpoint(f"step: undone {self._instance_id}")
        if failures:
            raise failures[0]
