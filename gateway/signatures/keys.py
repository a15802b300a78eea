"""The signing keys that this gateway knows: derived by the controller, good for one day and scope.

No secret is here, only what a secret was turned into for a date, a region and a service. A revoked
key stops working within ``stale_after_s``: ``poll`` asks the controller what changed (every 2 s,
gateway/server) and forgets those keys; where the last good poll is too old, nothing cached is
believed and the controller is asked each time, so that a gateway cut off from it refuses everyone
rather than let a revoked key in.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from protos import rpc
from protos.cloud.v1 import identity_pb2

if TYPE_CHECKING:
    from protos.cloud.v1.clients import IdentityClient


class SigningKeys:
    """Bounded, least recently used first out. Thread-safe.

    ``identity`` is the controller's Identity service, ``monotonic`` a clock in seconds.
    """

    def __init__(
        self,
        identity: "IdentityClient",
        monotonic: Callable[[], float],
        *,
        max_keys: int = 10_000,
        stale_after_s: float = 5.0,
    ):
        self._identity, self._monotonic = identity, monotonic
        self._max_keys, self._stale_after_s = max_keys, stale_after_s
        self._lock = threading.Lock()
        self._keys: OrderedDict[tuple[str, str, str, str], identity_pb2.SigningKey] = OrderedDict()
        self._sequence = 0  # of the controller's change log, up to which we have heard
        self._polled_at = float("-inf")

    @property
    def fresh(self) -> bool:
        """Whether the controller has answered lately."""
        return self._monotonic() - self._polled_at <= self._stale_after_s

    def get(
        self, access_key_id: str, date: str, region: str, service: str, caller: rpc.Caller
    ) -> identity_pb2.SigningKey:
        """The key for a scope. Raises NOT_FOUND for no or an inactive key, UNAVAILABLE."""
        name = (access_key_id, date, region, service)
        with self._lock:
            if self.fresh and name in self._keys:
                self._keys.move_to_end(name)
                return self._keys[name]
        key = self._identity.GetSigningKey(
            identity_pb2.GetSigningKeyRequest(
                access_key_id=access_key_id, date=date, region=region, service=service
            ),
            caller=caller,
        )
        with self._lock:
            # Derived before a change that we have heard of: it may be the very key that changed.
            # Good for this request, which was in flight at the time, and for no other.
            if key.change_sequence >= self._sequence:
                self._keys[name] = key
                self._keys.move_to_end(name)
                while len(self._keys) > self._max_keys:
                    self._keys.popitem(last=False)
        return key

    def poll(self) -> None:
        """Asks which keys changed and drops them. Raises CloudError when the controller is away."""
        asked_at = self._monotonic()
        changes = self._identity.ListKeyChanges(
            identity_pb2.ListKeyChangesRequest(after_sequence=self._sequence)
        )
        changed = set(changes.access_key_ids)
        with self._lock:
            for name in [name for name in self._keys if changes.everything or name[0] in changed]:
                del self._keys[name]
            self._sequence = changes.sequence
            self._polled_at = asked_at  # what changed since we asked is not in the answer
