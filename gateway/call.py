"""One request on its way through the gateway: who asks, what for, and whom to ask in turn.

A ``Call`` is the first argument of every action. ``Clients`` holds one client per service of the
controller; each method takes (request, caller=) and raises CloudError. Made once in gateway/server;
tests make one of LocalClients.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import grpc

from protos import rpc
from protos.cloud.v1 import (
    hosts_pb2_grpc,
    identity_pb2,
    identity_pb2_grpc,
    images_pb2_grpc,
    instances_pb2_grpc,
    keys_pb2_grpc,
    network_interfaces_pb2_grpc,
    networks_pb2_grpc,
    quotas_pb2_grpc,
    regions_pb2_grpc,
    tags_pb2_grpc,
    volumes_pb2_grpc,
)

if TYPE_CHECKING:
    from protos.cloud.v1 import clients

STUBS: dict[str, Callable[[grpc.Channel], object]] = {
    "instances": instances_pb2_grpc.InstancesStub,
    "images": images_pb2_grpc.ImagesStub,
    "key_pairs": keys_pb2_grpc.KeyPairsStub,
    "networks": networks_pb2_grpc.NetworksStub,
    "network_interfaces": network_interfaces_pb2_grpc.NetworkInterfacesStub,
    "security_groups": networks_pb2_grpc.SecurityGroupsStub,
    "addresses": networks_pb2_grpc.AddressesStub,
    "volumes": volumes_pb2_grpc.VolumesStub,
    "snapshots": volumes_pb2_grpc.SnapshotsStub,
    "tags": tags_pb2_grpc.TagsStub,
    "regions": regions_pb2_grpc.RegionsStub,
    "identity": identity_pb2_grpc.IdentityStub,
    "quotas": quotas_pb2_grpc.QuotasStub,
    "hosts": hosts_pb2_grpc.HostsStub,
}


@dataclass(frozen=True)
class Clients:
    """The controller's services, by noun."""

    instances: "clients.InstancesClient"
    images: "clients.ImagesClient"
    key_pairs: "clients.KeyPairsClient"
    networks: "clients.NetworksClient"
    network_interfaces: "clients.NetworkInterfacesClient"
    security_groups: "clients.SecurityGroupsClient"
    addresses: "clients.AddressesClient"
    volumes: "clients.VolumesClient"
    snapshots: "clients.SnapshotsClient"
    tags: "clients.TagsClient"
    regions: "clients.RegionsClient"
    identity: "clients.IdentityClient"
    quotas: "clients.QuotasClient"
    hosts: "clients.HostsClient"

    @classmethod
    def over(cls, channel: grpc.Channel, timeout_s: float = rpc.DEFAULT_TIMEOUT_S) -> "Clients":
        """Clients that share one gRPC channel to the controller."""
        made: dict[str, Any] = {
            field.name: rpc.Client(channel, STUBS[field.name], timeout_s) for field in fields(cls)
        }
        return cls(**made)


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
