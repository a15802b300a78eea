"""A real cloud for each process of tests, made by ``pileus up`` and gone without trace at its end.

With xdist (``-n 3``) one worker has a host's parts, for which there is one set of addresses; two
have a cloud each: where guests are worked with, and where what serves them is killed or far away.
Most of it is waiting, for boots above all, so that two cores are enough for the three.
"""

import os
import shutil
import socket
import tempfile
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.real.real_cloud import RealCloud

# Not the default one: a cloud of the machine's owner may run, or another process of these tests.
PUBLIC_CIDR = f"100.98.{os.getpid() % 256}.0/24"

# Of one test, with the cloud that the first one brings up: guests boot while others do and clients'
# tests run beside. What is waited for has deadlines of its own.
LIMIT_S = 900

# The tests of the second cloud; they take about as long as the other ones that need one.
KILLS = ("test_up_away", "test_up_kill", "test_up_volumes_elsewhere", "test_up_volumes_kill")


class CloudsAndParts(LoadScopeScheduling):
    """Three scopes. (``--dist loadgroup`` of xdist 3.8 finds no groups with pytest 9.)"""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition(".py")[0].rpartition("/")[2]
        if not file.startswith("test_up_"):
            return "parts"
        return "kills" if file in KILLS else "guests"


def pytest_xdist_make_scheduler(config, log):
    return CloudsAndParts(config, log)


def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.real)
        item.add_marker(pytest.mark.timeout(LIMIT_S))


@pytest.fixture(scope="session")
def cloud():
    """Up before the first test that asks for it. What it leaves behind fails the session."""
    folder = Path(tempfile.mkdtemp(prefix="pileus-"))
    state = folder / "state"
    words = ("--hypervisor", "auto", "--port", str(_free_port()), "--public-cidr", PUBLIC_CIDR)
    made = None
    try:
        made = RealCloud.up(state, *words)
        yield made
    finally:
        logs = _said(state)
        if made is None and (state / "cloud.json").exists():
            made = RealCloud.found(state)
        if made is not None:
            made.down("--destroy")
        print(logs)
        shutil.rmtree(folder)
    assert made.leftovers() == []


def _said(state: Path) -> str:
    """The services' last words, shown by pytest where a test has failed."""
    parts = [
        f"--- {log.name}\n{log.read_text()[-4000:]}" for log in sorted(state.glob("logs/*.log"))
    ]
    return "\n".join(parts)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
