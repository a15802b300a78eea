"""A cloud whose libvirtd is away and whose agent begins without it: what is asked for waits."""

import pytest

from cli import services
from tests.real.real_cloud import RealCloud, eventually


@pytest.fixture
def without_libvirtd(cloud: RealCloud):
    """Stopped, so that its supervisor does not start it again; there again when the test ends."""
    supervisor = services._server(cloud.layout)
    supervisor.stopProcess("libvirtd")

    def come_back() -> None:
        if not services.states(cloud.layout)["libvirtd"].running:
            supervisor.startProcess("libvirtd")

    yield come_back
    come_back()


def test_an_agent_that_begins_before_libvirtd(cloud, without_libvirtd):
    ec2 = cloud.ec2(cloud.account("patient"))
    zone = ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
    before = cloud.pid("hostagent")
    cloud.kill("hostagent")
    eventually(lambda: cloud.pid("hostagent") != before, "the agent runs again")
    eventually(lambda: "hypervisor is away" in status(cloud).stdout, "the controller knows")
    assert status(cloud).returncode != 0
    pid = cloud.pid("hostagent")

    volume_id = ec2.create_volume(AvailabilityZone=zone, Size=1)["VolumeId"]
    assert state(ec2, volume_id) == "creating"
    without_libvirtd()
    eventually(lambda: state(ec2, volume_id) == "available", "the volume is made")
    eventually(lambda: status(cloud).returncode == 0, "a launch would succeed")
    assert cloud.pid("hostagent") == pid, "the agent did not end itself"
    ec2.delete_volume(VolumeId=volume_id)


def state(ec2, volume_id: str) -> str:
    return ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"][0]["State"]


def status(cloud: RealCloud):
    return cloud.pileus("status", check=False)
