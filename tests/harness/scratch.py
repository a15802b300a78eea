"""Folders for simulated machines: in memory where the system has such a place."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_IN_MEMORY = "/dev/shm"  # Linux's tmpfs for everybody


def scratch_folder() -> Path:
    """A fresh folder. Whoever asked for it removes it; what is left goes with this process."""
    place = _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK | os.X_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="pileus-sim-", dir=place))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
