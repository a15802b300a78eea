"""The middleware of every servicer: makes a ``Call`` of who calls, runs a lost race again.

``app.build`` wraps each servicer in a Middleware, so a servicer's methods are ``def Method(self,
request, call: Call)`` and stay free of gRPC and clocks. This is the only place where an API
transaction is retried.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from controller.kernel.call import Ask, Call, Principal, consent
from controller.kernel.database import Conflict
from protos.errors import CloudError, Kind
from protos.rpc import CallContext, Caller

log = logging.getLogger(__name__)

ATTEMPTS = 5


Asks = Callable[[str, object, Principal], Ask]


def _no_questions(method: str, request: object, principal: Principal) -> Ask:
    return consent


class Middleware:
    """A servicer as ``protos/rpc`` wants it: methods take (request, CallContext).

    asks(method, request, principal): what a call's rules ask once they have read (``Call.ask``).
    """

    def __init__(self, servicer: object, clock: Callable[[], int], asks: Asks = _no_questions):
        self._servicer, self._clock, self._asks = servicer, clock, asks

    def __getattr__(self, method: str) -> Callable[[Any, CallContext], Any]:
        handler = getattr(self._servicer, method, _refuse)

        def enter(request: Any, context: CallContext) -> Any:
            def new_call() -> Call:
                caller, principal = context.caller, principal_of(context.caller)
                return Call(
                    principal,
                    request_id=caller.request_id,
                    dry_run=caller.dry_run,
                    now_ms=self._clock(),
                    peer=context.peer,
                    ask=self._asks(method, request, principal),
                )

            if isinstance(request, Iterator):  # a stream of requests can be read once only
                return handler(request, new_call())
            return _attempt(handler, request, new_call)

        setattr(self, method, enter)  # found at once from now on
        return enter


def _attempt(
    handler: Callable[[Any, Call], Any], request: object, new_call: Callable[[], Call]
) -> Any:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return handler(request, new_call())
        except Conflict as conflict:
            log.info("attempt %s lost a race: %r", attempt, conflict.because)
            last = conflict
    if last.integrity:
        raise CloudError(Kind.BUG, "An internal error has occurred.", because=last) from last
    raise last


def principal_of(caller: Caller) -> Principal:
    return Principal(caller.principal_id, caller.account_id, caller.principal_arn, caller.operator)


def _refuse(request: object, call: Call) -> NoReturn:
    """The contract names it, and this controller is older than that or not that far yet."""
    raise CloudError(Kind.UNSUPPORTED, "This controller cannot do that yet.")
