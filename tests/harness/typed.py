"""``pileus`` as a user types it, for a cloud in a folder of its own.

mine = Typed(folder)
mine.pileus("up", "--detach", "--hypervisor", "fake", "--port", free_port())
mine.ec2(mine.pileus("env")).describe_instances()
mine.processes()                     all that runs for it
"""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import boto3

from tests.harness.installation import ROOT

LIMIT_S = 180


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Typed:
    """See the module's head. ``state`` and ``cache`` are below the folder."""

    def __init__(self, folder: Path):
        self.state = folder / "state"
        self.cache = folder / "cache"

    def pileus(self, *words: object, expect: int = 0) -> str:
        """What a command says. AssertionError where it ends with another exit code."""
        running = self.start(*words)
        said, _ = running.communicate(timeout=LIMIT_S)
        assert running.returncode == expect, said
        return said

    def start(self, *words: object) -> subprocess.Popen:
        """A command that runs; ``stdout`` is all that it says."""
        return subprocess.Popen(
            [sys.executable, "-m", "cli", *map(str, words), "--state-dir", str(self.state)],
            cwd=ROOT,
            env={**os.environ, "PILEUS_CACHE_DIR": str(self.cache)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def ec2(self, exports: str, **otherwise):
        """boto3's client, by what ``env`` or ``account create`` have printed."""
        named = _named(exports)
        given = {
            "endpoint_url": named["AWS_ENDPOINT_URL"],
            "aws_access_key_id": named["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": named["AWS_SECRET_ACCESS_KEY"],
            "region_name": named["AWS_DEFAULT_REGION"],
            "verify": named.get("AWS_CA_BUNDLE"),
        }
        return boto3.client("ec2", **given | otherwise)

    def exports(self) -> dict[str, str]:
        """What ``env`` prints, by name."""
        return _named(self.pileus("env"))

    def processes(self) -> list[int]:
        """Of the cloud: all whose command line has a path in its state dir."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = path.read_bytes()
            except OSError:
                continue  # ended meanwhile
            if str(self.state).encode() in line:
                found.append(int(path.parent.name))
        return found


def _named(exports: str) -> dict[str, str]:
    return dict(re.findall(r"^export (\w+)=(.*)$", exports, re.MULTILINE))
