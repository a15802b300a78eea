"""A host that falls silent: what was given to it is not pending or creating for ever, and what was
made there nevertheless is cleared away when it is back."""

import pytest

from hostagent import config as host_config
from hostagent.service import Service
from tests.harness.waiting import wait_until
from tests.harness.wired import WiredCloud, WiredHost

HOSTS = """
[hosts]
report_interval_ms = 200
silent_after_ms = 8000
lost_after_ms = 9000
given_up_after_ms = 10000
"""


@pytest.fixture
def cloud(tmp_path):
    with WiredCloud(tmp_path, hosts=1, controller=HOSTS) as cloud:
        yield cloud


def test_what_was_given_to_it_is_given_up_and_cleared_away(cloud):
    account = cloud.account("customer")
    ec2 = account.ec2
    (runs,) = launch(cloud, account)
    account.wait_for("running", runs)
    cloud.hosts.pop().service.stop()  # counts as up for a few seconds more
    (pending,) = launch(cloud, account)
    asked = {"AvailabilityZone": "us-east-1a", "Size": 1}
    volumes = [ec2.create_volume(**asked)["VolumeId"] for _ in range(2)]
    assert account.states() == {runs: "running", pending: "pending"}
    assert volume_states(account) == dict.fromkeys(volumes, "creating")

    wait_until("given up", lambda: account.states()[pending] == "shutting-down")
    wait_until("in error", lambda: set(volume_states(account).values()) == {"error"})
    (instance,) = ec2.describe_instances(InstanceIds=[pending])["Reservations"][0]["Instances"]
    message = "Server.InternalError: The host of the instance was lost before the instance ran"
    assert instance["StateReason"] == {"Code": "Server.InternalError", "Message": message}
    assert account.states()[runs] == "running"
    ec2.delete_volume(VolumeId=volumes[0])

    service = Service(host_config.load(cloud.files.host_tomls[0]))
    cloud.hosts.append(WiredHost(service))
    try:
        service.start()
        account.wait_for("terminated", pending)
        wait_until("made", lambda: volume_states(account) == {volumes[1]: "available"})
        assert list(cloud.hosts[0].state.guests) == [runs]
        assert volumes[0] not in cloud.hosts[0].volumes.volumes()
    finally:
        service.stop()


def launch(cloud, account) -> list[str]:
    answer = account.ec2.run_instances(ImageId=cloud.image_id, MinCount=1, MaxCount=1)
    return [instance["InstanceId"] for instance in answer["Instances"]]


def volume_states(account) -> dict[str, str]:
    """Of those that are no instance's."""
    volumes = account.ec2.describe_volumes()["Volumes"]
    return {one["VolumeId"]: one["State"] for one in volumes if not one["Attachments"]}
