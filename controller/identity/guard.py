"""The guard before every rpc of the controller: reads the rpc's ``permission`` option and refuses
who may not.

    permission says         who may call
    action                  the gateway, on behalf of an account
    action, operator        the gateway, on behalf of the operator's account
    service: "gateway"      the gateway itself
    service: "host"         a host agent; which one, the method compares with the request
    service: "anyone …"     the join port: the token is the proof, and the method checks it
    anything else           nobody

It asks no database: which account calls is the word of the gateway, which got it from this
controller together with the signing key (Identity.GetSigningKey) and forgets it within seconds of a
change (ListKeyChanges).
"""

from protos import services
from protos.cloud.v1 import options_pb2
from protos.errors import CloudError, Kind
from protos.rpc import Caller

ANYONE = "anyone with a token"


def permissions() -> dict[str, options_pb2.Permission]:
    """Every rpc's permission by its full name, "/pileus.cloud.v1.Instances/Run"."""
    return {
        services.full_name(method): services.permission_of(method)
        for service in services.SERVICES
        for method in service.methods
    }


class Guard:
    """protos/rpc.Guard."""

    def __init__(self):
        self._permissions = permissions()

    def __call__(self, method: str, request: object, peer: str, caller: Caller) -> None:
        permission = self._permissions.get(method)
        if permission is None or not _allowed(permission, peer, caller):
            raise CloudError(
                Kind.DENIED,
                "You are not authorized to perform this operation.",
                because=f"{method} from {peer!r} for account {caller.account_id!r}",
            )


def _allowed(permission: options_pb2.Permission, peer: str, caller: Caller) -> bool:
    if permission.action:
        on_behalf = peer == "gateway" and bool(caller.account_id)
        return on_behalf and (caller.operator or not permission.operator)
    if permission.service == "gateway":
        return peer == "gateway"
    if permission.service == "host":
        return peer.startswith("host:")
    return permission.service == ANYONE
