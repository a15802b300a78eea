"""Files that are read back: whole or not at all, also after a power failure.

    write_whole(path, content)          in place of what was there; readable by its owner only
    write_new(path, content)            the same; raises FileExistsError where it is there
    sync(path)                          a file's or a folder's content is on the disk

Used by all rooms that keep something in files of their own. Who reads such a file back says what
becomes of one that cannot be read: an older Pileus, a person or a disk may have written it.
"""

import os
from pathlib import Path


def write_whole(path: Path, content: bytes | str, mode: int = 0o600) -> None:
    """Durable when it returns, under its name."""
    os.replace(_written(path, content, mode), path)
    sync(path.parent)


def write_new(path: Path, content: bytes | str, mode: int = 0o600) -> None:
    """Raises FileExistsError, and changes nothing then."""
    written = _written(path, content, mode)
    try:
        os.link(written, path)
    finally:
        written.unlink()
    sync(path.parent)


def sync(path: Path) -> None:
    """A file's or a folder's content is on the disk when this returns: what has its name is whole,
    also after a power failure."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def unfinished(path: Path) -> Path:
    """The name of a file while it is being written."""
    return path.with_name(path.name + ".new")


def _written(path: Path, content: bytes | str, mode: int) -> Path:
    data = content.encode() if isinstance(content, str) else content
    written = unfinished(path)
    written.unlink(missing_ok=True)  # of a try that was cut, and maybe for other eyes
    with open(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)  # whatever the umask says
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return written
