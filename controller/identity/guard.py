"""The guard: authorizes every rpc of the controller, and again what its rules have read.

    permission says         who may call
    action                  the gateway, on behalf of a principal for whom ``authorize`` consents
    service: "gateway"      the gateway itself
    service: "host"         a host agent; which one, the method compares with the request
    service: "anyone …"     the join port: the token is the proof, and the method checks it
    anything else           nobody

The guard asks no database: which principal calls is the word of the gateway, which got it from this
controller together with the signing key (Identity.GetSigningKey) and forgets it within seconds of a
change (ListKeyChanges). So it asks with what the request tells; what has to be read first is asked
about by the rules, through the ``Ask`` that their Call carries.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import cast

from google.protobuf.message import Message

from controller.identity.authorize import Authorize, Context, Lazy, Resource, arn
from controller.identity.facts import Facts
from controller.identity.permissions import ANY, Permission, permissions, tags_for
from controller.kernel.call import Ask, Principal, consent
from controller.kernel.database import Session
from controller.kernel.middleware import Asks, principal_of
from controller.kernel.owned import Owned
from protos.errors import CloudError, Kind
from protos.rpc import Caller

ANYONE = "anyone with a token"
CREATE_TAGS = "ec2:CreateTags"


class Guard:
    """protos/rpc.Guard. ``owned``: whose facts can be read. Raises UnknownField where a permission
    does not fit its request."""

    def __init__(self, authorize: Authorize, region: str, owned: Iterable[Owned] = ()):
        self._authorize, self._region = authorize, region
        self._owned = {each.name: each for each in owned}
        self._permissions = permissions()

    def __call__(self, method: str, request: object, peer: str, caller: Caller) -> None:
        permission = self._permissions.get(method)
        if permission is None:
            raise _denied(f"{method} from {peer!r}")
        if permission.action:
            if peer != "gateway" or not caller.account_id:
                raise _denied(f"{method} from {peer!r} for account {caller.account_id!r}")
            self._question(permission, request, principal_of(caller)).ask()
        elif not _is_peer(permission.peer, peer):
            raise _denied(f"{method} from {peer!r}")

    def asks_of(self, service: str) -> Asks:
        """Makes what the Middleware of a service asks for each of its rpcs."""

        def asks(method: str, request: object, principal: Principal) -> Ask:
            permission = self._permissions.get(f"/pileus.cloud.v1.{service}/{method}")
            if permission is None or not permission.action:
                return consent
            question = self._question(permission, request, principal)
            return question.ask_again

        return asks

    def _question(
        self, permission: Permission, request: object, principal: Principal
    ) -> "Question":
        return Question(self._authorize, self._region, self._owned, permission, request, principal)


class Question:
    """Whether a principal may do what he requests."""

    def __init__(
        self,
        authorize: Authorize,
        region: str,
        owned: Mapping[str, Owned],
        permission: Permission,
        request: object,
        principal: Principal,
    ):
        self._authorize, self._region, self._owned = authorize, region, owned
        # A stream is asked about without what it brings: its permission names no field of it.
        self._request = cast(Message, request)
        self._permission, self._principal = permission, principal

    @cached_property
    def _context(self) -> Context:
        named = (self._request, self._region, self._principal.account_id)
        return Lazy(lambda: self._permission.context_of(*named))

    def ask(self) -> None:
        """Asks with what the request tells. Raises DENIED."""
        account_id = self._principal.account_id
        resources = self._permission.resources_of(self._request, self._region, account_id)
        self._require(self._permission.action, resources, self._context)

    def ask_again(
        self,
        session: Session,
        noun: str,
        identifiers: Sequence[str],
        action: str,
        context: Context,
    ) -> None:
        """Asks again with what was read: Session.authorize. Raises DENIED."""
        asked = self._permission
        if action == CREATE_TAGS:
            context = {**context, "ec2:CreateAction": [asked.action.partition(":")[2]]}
        elif not action and asked.has(noun):
            action = asked.action
            context = {**self._context, **context} if context else self._context
        elif not action:
            return
        service = action.partition(":")[0]
        facts = Facts(session, self._owned.get(noun), identifiers, self._region)
        resources = [
            Resource(
                arn(service, self._region, self._principal.account_id, noun, one),
                tags_for(asked.tags(self._request), noun) if one == ANY else facts.of(one),
                read=True,
            )
            for one in identifiers
        ]
        self._require(action, resources, context)

    def _require(self, action: str, resources: Sequence[Resource], context: Context) -> None:
        if not self._authorize(self._principal, action, resources, context):
            names = ", ".join(one.arn for one in resources[:5]) or "anything"
            raise _denied(f"{self._principal.arn or self._principal.account_id}: {action} {names}")


def _is_peer(permitted: str, peer: str) -> bool:
    if permitted == "gateway":
        return peer == "gateway"
    if permitted == "host":
        return peer.startswith("host:")
    return permitted == ANYONE


def _denied(because: str) -> CloudError:
    message = "You are not authorized to perform this operation."
    return CloudError(Kind.DENIED, message, because=because)
