"""Files of the stores of images and blocks: names that last, and when a file was last written.

Called by storage/images/store and storage/blocks/store.
"""

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Makes renames in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def modified_s(path: Path, where_gone_s: float) -> float:
    """When a file was last written or touched; ``where_gone_s`` where it has just gone."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return where_gone_s
