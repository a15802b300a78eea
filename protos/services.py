"""Every service of the contract with its rpcs: read by guards, servers, clients and the JSON API.

A service is here because its .proto file is in ``cloud/v1``.
"""

import pkgutil
import re
from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import cast

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from protos.cloud import v1
from protos.cloud.v1 import options_pb2

_GRPC = {
    each.name.removesuffix("_pb2_grpc"): import_module(f"{v1.__name__}.{each.name}")
    for each in pkgutil.iter_modules(v1.__path__)
    if each.name.endswith("_pb2_grpc")
}
_FILES = {name: import_module(f"{v1.__name__}.{name}_pb2") for name in sorted(_GRPC)}

SERVICES: tuple[ServiceDescriptor, ...] = tuple(
    service for file in _FILES.values() for service in file.DESCRIPTOR.services_by_name.values()
)


def noun_of(service: ServiceDescriptor) -> str:
    """What clients call a service: "key_pairs" for KeyPairs."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", service.name).lower()


def stub_of(service: ServiceDescriptor) -> Callable[[grpc.Channel], object]:
    """grpc's client of a service."""
    stub: Callable[[grpc.Channel], object] = getattr(_grpc(service), f"{service.name}Stub")
    return stub


def add_to_server(service: ServiceDescriptor) -> Callable[[object, grpc.Server], None]:
    """grpc's function that registers a servicer of a service."""
    name = f"add_{service.name}Servicer_to_server"
    add: Callable[[object, grpc.Server], None] = getattr(_grpc(service), name)
    return add


def _grpc(service: ServiceDescriptor) -> ModuleType:
    return _GRPC[service.file.name.rpartition("/")[2].removesuffix(".proto")]


def permission_of(method: MethodDescriptor) -> options_pb2.Permission:
    """Who may call an rpc, as its ``permission`` option says."""
    extensions = cast(Mapping[object, options_pb2.Permission], method.GetOptions().Extensions)
    return extensions[options_pb2.permission]


def full_name(method: MethodDescriptor) -> str:
    """As gRPC writes it: "/pileus.cloud.v1.Instances/Run"."""
    return f"/{method.containing_service.full_name}/{method.name}"
