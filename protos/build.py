"""Compiles the .proto files to Python beside them: ``python -m protos.build``.

Generated code is not committed. ``./pileus`` and tox run this; it does nothing when all is newer
than its source.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "protos" / "cloud" / "v1").glob("*.proto"))


def stale() -> bool:
    newest = max(path.stat().st_mtime for path in SOURCES)
    generated = [
        path.with_name(path.stem + end) for path in SOURCES for end in ("_pb2.py", "_pb2_grpc.py")
    ]
    return any(not path.exists() or path.stat().st_mtime < newest for path in generated)


def build() -> None:
    """Compiles everything. Raises RuntimeError when protoc refuses a file."""
    import grpc_tools
    from google.api import annotations_pb2
    from grpc_tools import protoc

    google_api = Path(annotations_pb2.__file__).parent.parent.parent
    arguments = [
        "protoc",
        *(f"-I{path}" for path in (ROOT, google_api, Path(grpc_tools.__file__).parent / "_proto")),
        f"--python_out={ROOT}",
        f"--grpc_python_out={ROOT}",
        *(str(path.relative_to(ROOT)) for path in SOURCES),
    ]
    if protoc.main(arguments) != 0:
        raise RuntimeError("protoc refused a file under protos/cloud/v1; its own message is above")


if __name__ == "__main__":
    if stale() or "--force" in sys.argv:
        build()
