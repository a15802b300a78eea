"""Every service of the controller can be put on a server: the process has stubs for each."""

from controller import server
from tests.unit.controller.cloud import Cloud


def test_every_servicer_has_its_stubs(tmp_path):
    for name in Cloud(tmp_path).app.servicers:
        assert callable(server.ADDERS[name]), name
