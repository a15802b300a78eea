"""One request on its way through the gateway: who asks, what for, and whom to ask in turn.

A ``Call`` is the first argument of every action. ``Clients`` holds one client per service of the
controller; each method takes (request, caller=) and raises CloudError. Made once in gateway/server;
tests make one of LocalClients.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from protos import rpc, unix_socket
from protos.cloud.v1 import identity_pb2
from protos.services import SERVICES, noun_of, stub_of

if TYPE_CHECKING:
    from protos.cloud.v1.clients import Clients as _ByNoun
else:
    _ByNoun = object

STUBS = {noun_of(service): stub_of(service) for service in SERVICES}


class Clients(_ByNoun):
    """The controller's services, by noun: ``clients.key_pairs`` is the service KeyPairs."""

    def __init__(self, **clients: object):
        self.__dict__.update(clients)

    @classmethod
    def over(cls, channel: grpc.Channel, timeout_s: float = rpc.DEFAULT_TIMEOUT_S) -> "Clients":
        """Clients that share one gRPC channel to the controller."""
        return cls(**{noun: rpc.Client(channel, stub, timeout_s) for noun, stub in STUBS.items()})

    @classmethod
    def over_socket(
        cls,
        connections: unix_socket.Connections,
        streams: Callable[[], "Clients"],
        timeout_s: float,
    ) -> "Clients":
        """Clients of the controller of this machine; ``streams()``: for what is sent in pieces."""

        def client(service: ServiceDescriptor) -> unix_socket.Client:
            def by_grpc() -> object:
                return getattr(streams(), noun_of(service))

            return unix_socket.Client(connections, service, timeout_s, by_grpc)

        return cls(**{noun_of(service): client(service) for service in SERVICES})


@dataclass(frozen=True)
class Call:
    """What an action knows beside its parameters."""

    clients: Clients
    caller: rpc.Caller
    principal: identity_pb2.Principal
    region: str
    host: str  # what the client called us: a name, with the port where the scheme implies another
    path: str = "/"
    version: str = ""  # of the API, as the client asked for it; the endpoint's own unless it did
