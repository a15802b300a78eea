"""Call: on whose behalf, and when, something is done. Every rule gets one; nothing below asks a
clock or a context.

Made by the middleware (``kernel/middleware``) for each rpc, and by ``system_call`` for what the
controller does of its own accord.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Principal:
    """Who calls: somebody of an account, whose access key the request was signed with.

    id: IAM's unique id; of an account's root it is the account's id. operator: of the operator's
    account.
    """

    id: str = ""
    account_id: str = ""
    arn: str = ""
    operator: bool = False


NOBODY = Principal()
Ask = Callable[..., None]  # see Session.authorize, which hands on its arguments


def consent(*question: object, **more: object) -> None:
    """The Ask of what needs no permission: the controller itself, and its hosts."""


@dataclass(frozen=True)
class Call:
    """principal: who calls, and whose resources are meant. now_ms: the time of this call,
    milliseconds since the epoch. dry_run: everything is checked and nothing kept
    (``Database.write`` rolls back). peer: the service that called, "gateway" or "host:h-…". ask:
    whether the principal may do what the rpc does, asked by ``Session.authorize``."""

    principal: Principal = NOBODY
    request_id: str = ""
    dry_run: bool = False
    now_ms: int = 0
    peer: str = ""
    ask: Ask = consent

    @property
    def account_id(self) -> str:
        return self.principal.account_id

    @property
    def operator(self) -> bool:
        return self.principal.operator


def system_call(now_ms: int) -> Call:
    """What the controller does by itself: no account, every resource."""
    controller = Principal(operator=True)
    return Call(controller, request_id="controller", now_ms=now_ms, peer="controller")


ITSELF = system_call(0)  # where something is only read, and the time does not matter
