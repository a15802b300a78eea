"""Errors: one class, kinds chosen by what the caller should do next.

    fix the request    INVALID  MALFORMED_ID  UNSUPPORTED
    get permission     UNAUTHENTICATED  DENIED
    look again         NOT_FOUND  EXISTS  WRONG_STATE
    wait or ask        QUOTA  NO_CAPACITY  UNAVAILABLE
    report it          BUG
    nothing: it was only a rehearsal, and would have succeeded      DRY_RUN

Raise at the point of knowledge, translate at the edges (``to_detail`` / ``from_detail`` here, the
EC2 table in the gateway), never between. ``message`` is for the caller's eyes; ``because`` is
logged and never sent.
"""

import logging
from enum import Enum

import grpc

from protos.cloud.v1 import common_pb2

DETAIL_KEY = "pileus-error-bin"
# On the wire. Both may repeat what a caller sent, and an answer whose trailers outgrow what gRPC
# takes (8 KiB, in base64) reaches nobody: the caller would be told that the service is away. The
# message has room for the names of two hundred things that are not there.
MAX_MESSAGE_BYTES, MAX_ID_BYTES = 4500, 800


class Kind(Enum):
    """Each kind with the gRPC status that carries it."""

    INVALID = ("INVALID", grpc.StatusCode.INVALID_ARGUMENT)
    MALFORMED_ID = ("MALFORMED_ID", grpc.StatusCode.INVALID_ARGUMENT)
    UNSUPPORTED = ("UNSUPPORTED", grpc.StatusCode.UNIMPLEMENTED)
    UNAUTHENTICATED = ("UNAUTHENTICATED", grpc.StatusCode.UNAUTHENTICATED)
    DENIED = ("DENIED", grpc.StatusCode.PERMISSION_DENIED)
    NOT_FOUND = ("NOT_FOUND", grpc.StatusCode.NOT_FOUND)
    EXISTS = ("EXISTS", grpc.StatusCode.ALREADY_EXISTS)
    WRONG_STATE = ("WRONG_STATE", grpc.StatusCode.FAILED_PRECONDITION)
    QUOTA = ("QUOTA", grpc.StatusCode.RESOURCE_EXHAUSTED)
    NO_CAPACITY = ("NO_CAPACITY", grpc.StatusCode.RESOURCE_EXHAUSTED)
    UNAVAILABLE = ("UNAVAILABLE", grpc.StatusCode.UNAVAILABLE)
    BUG = ("BUG", grpc.StatusCode.INTERNAL)
    DRY_RUN = ("DRY_RUN", grpc.StatusCode.ABORTED)

    @property
    def status(self) -> grpc.StatusCode:
        return self.value[1]


class CloudError(Exception):
    """A failure with a kind, a public message and the thing that it is about.

    ``noun`` is a resource type in EC2's spelling ("instance", "security-group"), ``id`` the
    resource's id or name, ``reason`` the finer distinction inside a kind that the EC2 code depends
    on ("parameter-combination", "in-use").
    """

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        noun: str = "",
        id: str = "",
        reason: str = "",
        because: object = None,
    ):
        super().__init__(message)
        self.kind, self.message, self.noun, self.id, self.reason = kind, message, noun, id, reason
        self.because = because

    def __repr__(self) -> str:
        return (
            f"CloudError({self.kind.name}, {self.message!r}, noun={self.noun!r}, id={self.id!r}, "
            f"reason={self.reason!r}, because={self.because!r})"
        )


def invalid_parameter(message: str, reason: str = "") -> CloudError:
    return CloudError(Kind.INVALID, message, noun="parameter", reason=reason)


def missing_parameter(name: str) -> CloudError:
    """The refusal of a request without ``name``, in EC2's words, or without one of several."""
    return CloudError(
        Kind.INVALID,
        f"The request must contain the parameter {name}",
        noun="parameter",
        id=name,
        reason="missing-parameter",
    )


def log_level(error: CloudError) -> int:
    """How loud a refusal is in a log: a caller's own mistakes must not be able to fill it."""
    if error.kind is Kind.BUG:
        return logging.ERROR
    if error.because is None or error.kind in (Kind.INVALID, Kind.MALFORMED_ID, Kind.UNSUPPORTED):
        return logging.DEBUG
    return logging.WARNING


def to_detail(error: CloudError) -> common_pb2.ErrorDetail:
    return common_pb2.ErrorDetail(
        kind=error.kind.name,
        message=_shortened(error.message, MAX_MESSAGE_BYTES),
        noun=error.noun,
        id=_shortened(error.id, MAX_ID_BYTES),
        reason=error.reason,
    )


def _shortened(text: str, most_bytes: int) -> str:
    data = text.encode()
    if len(data) <= most_bytes:
        return text
    return data[:most_bytes].decode(errors="ignore") + "..."


def from_detail(detail: common_pb2.ErrorDetail) -> CloudError:
    return CloudError(
        Kind[detail.kind], detail.message, noun=detail.noun, id=detail.id, reason=detail.reason
    )


def unreachable(because: object) -> CloudError:
    """The failure of a call that did not get through, or not back."""
    return CloudError(
        Kind.UNAVAILABLE,
        "A service that is needed for this does not answer. Try again.",
        reason="unreachable",
        because=because,
    )


def from_rpc_error(error: grpc.RpcError) -> CloudError:
    """What a failed call means.

    Without our detail the transport failed: UNAVAILABLE, or BUG where it is not that.
    """
    for sent in error.trailing_metadata() or ():
        if sent.key == DETAIL_KEY:
            return from_detail(common_pb2.ErrorDetail.FromString(sent.value))
    if error.code() in (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    ):
        return unreachable(f"{error.code().name}: {error.details()}")
    return CloudError(
        Kind.BUG, "An internal error has occurred.", because=f"{error.code()}: {error.details()}"
    )
