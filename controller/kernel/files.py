"""Files of the stores of images and blocks: when one was last written, and a disk that is full.

Called by storage/images/store and storage/blocks/store.
"""

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from protos.errors import CloudError, Kind

log = logging.getLogger(__name__)

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def space_of(store: str) -> Iterator[None]:
    """A disk that is full is the operator's to mend, and nobody's mistake: who brings something
    waits, and brings it again. Raises UNAVAILABLE in its place."""
    try:
        yield
    except OSError as failure:
        if failure.errno not in _FULL:
            raise
        log.error("the store of %s is full: %s", store, failure)
        message = f"The store of {store} has no space left."
        raise CloudError(Kind.UNAVAILABLE, message, reason="busy", because=failure) from failure


def modified_s(path: Path, where_gone_s: float) -> float:
    """When a file was last written or touched; ``where_gone_s`` where it has just gone."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return where_gone_s
