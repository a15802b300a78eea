"""One real cloud for the session, made by ``pileus up`` and gone without trace at its end.

With xdist (``-n 2``) one worker has the tests of the cloud, the other those of a host's parts, for
which there is one set of addresses.
"""

import os
import shutil
import socket
import tempfile
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.real.real_cloud import RealCloud

# Not the default one: a cloud of the machine's owner may run, or another session of these tests.
PUBLIC_CIDR = f"100.98.{os.getpid() % 256}.0/24"


class CloudOrParts(LoadScopeScheduling):
    """Two scopes. (``--dist loadgroup`` of xdist 3.8 finds no groups with pytest 9.)"""

    def _split_scope(self, nodeid: str) -> str:
        return "cloud" if "/test_up_" in nodeid else "parts"


def pytest_xdist_make_scheduler(config, log):
    return CloudOrParts(config, log)


def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.real)


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
