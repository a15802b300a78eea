"""What stands before every servicer: who calls becomes a ``Call``, and a lost race is run again.

``app.build`` wraps each servicer in a Middleware, so a servicer's methods are ``def Method(self,
request, call: Call)`` and stay free of gRPC and clocks. This is the only place where an API
transaction is retried.
"""

import logging
from collections.abc import Callable, Iterator

from controller.kernel.call import Call
from controller.kernel.database import Conflict
from protos.errors import CloudError, Kind
from protos.rpc import CallContext

log = logging.getLogger(__name__)

ATTEMPTS = 5


class Middleware:
    """A servicer as ``protos/rpc`` wants it: methods take (request, CallContext)."""

    def __init__(self, servicer: object, clock: Callable[[], int]):
        self._servicer, self._clock = servicer, clock

    def __getattr__(self, method: str) -> Callable:
        handler = getattr(self._servicer, method, _refuse)

        def enter(request, context: CallContext):
            if isinstance(request, Iterator):  # a stream of requests can be read once only
                return handler(request, self._call(context))
            return self._attempt(handler, request, context)

        setattr(self, method, enter)  # found at once from now on
        return enter

    def _attempt(self, handler: Callable, request, context: CallContext):
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return handler(request, self._call(context))
            except Conflict as conflict:
                log.info("attempt %s lost a race: %r", attempt, conflict.because)
                last = conflict
        if last.integrity:
            raise CloudError(Kind.BUG, "An internal error has occurred.", because=last) from last
        raise last

    def _call(self, context: CallContext) -> Call:
        caller = context.caller
        return Call(
            account_id=caller.account_id,
            operator=caller.operator,
            request_id=caller.request_id,
            dry_run=caller.dry_run,
            now_ms=self._clock(),
            arn=caller.principal_arn,
            peer=context.peer,
        )


def _refuse(request, call: Call):
    """The contract names it, and this controller is older than that or not that far yet."""
    raise CloudError(Kind.UNSUPPORTED, "This controller cannot do that yet.")
