"""Files and folders that no other user of the machine may read: tenants' data, ledgers, keys.

    begin()                      a service's first act: whatever it makes is its owner's alone
    make_folder(path)            there, and closed to others, also where it was open before
    keep_database(path)          an SQLite file and its journals, likewise, before it is opened

The folders keep out whoever comes by a path, the umask covers what programs make that are started
from here. What others must reach is opened where it is made, by an explicit mode; decision 0310
lists it. Called by the controller, the gateway, the host agent and the CLI.
"""

import contextlib
import os
from pathlib import Path

UMASK = 0o077


def begin() -> None:
    """For the whole process and what it starts."""
    os.umask(UMASK)


def make_folder(path: Path) -> None:
    """Its parents are made, too; those that are there stay as they are."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)


def keep_database(path: Path) -> None:
    """SQLite makes its journals with the mode of the file itself."""
    path.touch(mode=0o600)
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(name).chmod(0o600)
