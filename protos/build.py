"""Compiles the .proto files to Python beside them: ``python -m protos.build``.

Generated code is not committed. ``./pileus`` and tox run this; it does nothing when all is newer
than its source. Besides the modules it writes what only a type checker reads: their types
(``*_pb2.pyi``), and ``clients.pyi`` with the rpcs of each service as rpc.Client offers them:

    if TYPE_CHECKING:
        from protos.cloud.v1.clients import VolumesClient
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, ServiceDescriptor

ROOT = Path(__file__).resolve().parent.parent
V1 = ROOT / "protos" / "cloud" / "v1"
SOURCES = sorted(V1.glob("*.proto"))
CLIENTS = V1 / "clients.pyi"
_CLIENTS_HEAD = """\
from collections.abc import Iterable, Iterator
from typing import Protocol

from protos.rpc import Caller
"""


def stale() -> bool:
    newest = max(path.stat().st_mtime for path in [*SOURCES, Path(__file__)])
    generated = [CLIENTS] + [
        path.with_name(path.stem + end)
        for path in SOURCES
        for end in ("_pb2.py", "_pb2_grpc.py", "_pb2.pyi")
    ]
    return bool(_leftovers()) or any(
        not path.exists() or path.stat().st_mtime < newest for path in generated
    )


def _leftovers() -> list[Path]:
    """What was generated of a file that is gone: its services would still be found."""
    stems = {path.stem for path in SOURCES}
    return [path for path in V1.glob("*_pb2*.py*") if path.name.split("_pb2")[0] not in stems]


def build() -> None:
    """Compiles everything. Raises RuntimeError when protoc refuses a file."""
    import grpc_tools
    from google.api import annotations_pb2
    from grpc_tools import protoc

    for path in _leftovers():
        path.unlink()
    google_api = Path(annotations_pb2.__file__).parent.parent.parent
    arguments = [
        "protoc",
        *(f"-I{path}" for path in (ROOT, google_api, Path(grpc_tools.__file__).parent / "_proto")),
        f"--python_out={ROOT}",
        f"--pyi_out={ROOT}",
        f"--grpc_python_out={ROOT}",
        *(str(path.relative_to(ROOT)) for path in SOURCES),
    ]
    if protoc.main(arguments) != 0:
        raise RuntimeError("protoc refused a file under protos/cloud/v1; its own message is above")
    CLIENTS.write_text("\n".join(_clients()) + "\n")


def _clients() -> Iterator[str]:
    """The lines of clients.pyi: a protocol for each service, and all of them by noun."""
    from protos.services import SERVICES, noun_of

    yield _CLIENTS_HEAD
    for module in sorted({_module(service) for service in SERVICES}):
        yield f"import {module}"
    for service in SERVICES:
        yield f"\nclass {service.name}Client(Protocol):"
        for method in service.methods:
            request, answer = (
                f"{_module(message)}.{message.name}"
                for message in (method.input_type, method.output_type)
            )
            if method.client_streaming:
                request = f"Iterable[{request}]"
            if method.server_streaming:
                answer = f"Iterator[{answer}]"
            yield f"    def {method.name}("
            yield f"        self, request: {request}, caller: Caller = ...,"
            yield f"        timeout_s: float | None = ...,\n    ) -> {answer}: ..."
    yield "\nclass Clients:"
    for service in SERVICES:
        yield f"    {noun_of(service)}: {service.name}Client"


def _module(described: "ServiceDescriptor | Descriptor") -> str:
    """The module that protoc makes of the file in which this is described."""
    return described.file.name.removesuffix(".proto").replace("/", ".") + "_pb2"


if __name__ == "__main__":
    if stale() or "--force" in sys.argv:
        build()
