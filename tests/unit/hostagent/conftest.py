import pytest

from tests.unit.hostagent.rig import Rig


@pytest.fixture
def rig(tmp_path) -> Rig:
    """A host with fakes that do as they are told."""
    return Rig(tmp_path)
