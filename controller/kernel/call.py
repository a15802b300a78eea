"""Call: on whose behalf, and when, something is done. Every rule gets one; nothing below asks a
clock or a context.

Made by the middleware (``kernel/middleware``) for each rpc, and by ``system_call`` for what the
controller does of its own accord.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Call:
    """account_id: whose resources. operator: the operator's account. now_ms: the time of this call,
    milliseconds since the epoch. dry_run: everything is checked and nothing kept
    (``Database.write`` rolls back). peer: the service that called, "gateway" or "host:h-…"."""

    account_id: str = ""
    operator: bool = False
    request_id: str = ""
    dry_run: bool = False
    now_ms: int = 0
    arn: str = ""
    peer: str = ""


def system_call(now_ms: int) -> Call:
    """What the controller does by itself: no account, every resource."""
    return Call(operator=True, request_id="controller", now_ms=now_ms, peer="controller")
