"""When a file of the stores of images and blocks was last written.

Called by storage/images/store and storage/blocks/store.
"""

from pathlib import Path


def modified_s(path: Path, where_gone_s: float) -> float:
    """When a file was last written or touched; ``where_gone_s`` where it has just gone."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return where_gone_s
