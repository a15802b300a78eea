"""Every service of the contract with its rpcs: one list, read by guards and by the JSON API."""

from collections.abc import Mapping
from typing import cast

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from protos.cloud.v1 import (
    fleet_pb2,
    hosts_pb2,
    identity_pb2,
    images_pb2,
    instances_pb2,
    keys_pb2,
    network_interfaces_pb2,
    networks_pb2,
    options_pb2,
    quotas_pb2,
    regions_pb2,
    tags_pb2,
    volumes_pb2,
)

_FILES = (
    fleet_pb2,
    hosts_pb2,
    identity_pb2,
    images_pb2,
    instances_pb2,
    keys_pb2,
    network_interfaces_pb2,
    networks_pb2,
    quotas_pb2,
    regions_pb2,
    tags_pb2,
    volumes_pb2,
)

SERVICES: tuple[ServiceDescriptor, ...] = tuple(
    service for file in _FILES for service in file.DESCRIPTOR.services_by_name.values()
)


def permission_of(method: MethodDescriptor) -> options_pb2.Permission:
    """Who may call an rpc, as its ``permission`` option says."""
    extensions = cast(Mapping[object, options_pb2.Permission], method.GetOptions().Extensions)
    return extensions[options_pb2.permission]


def full_name(method: MethodDescriptor) -> str:
    """As gRPC writes it: "/pileus.cloud.v1.Instances/Run"."""
    return f"/{method.containing_service.full_name}/{method.name}"
