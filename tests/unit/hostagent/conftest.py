"""A host, and an image on it, for this folder's tests."""

import pytest

from tests.unit.hostagent.rig import Rig
from tests.unit.hostagent.volume_backends import MIB


@pytest.fixture
def rig(tmp_path) -> Rig:
    """A host with fakes that do as they are told."""
    return Rig(tmp_path)


@pytest.fixture
def base(tmp_path):
    """A raw image that disks stand on."""
    path = tmp_path / "base.raw"
    path.write_bytes(b"image".ljust(MIB, b"\0"))
    return path
