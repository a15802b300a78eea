"""Folders for simulated machines: in memory where the system has such a place."""

import os
import tempfile
from pathlib import Path

_IN_MEMORY = "/dev/shm"  # Linux's tmpfs for everybody


def scratch_folder() -> Path:
    """A fresh folder. Whoever asked for it removes it."""
    place = _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK | os.X_OK) else None
    return Path(tempfile.mkdtemp(prefix="pileus-", dir=place))
