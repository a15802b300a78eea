"""A hypervisor whose daemon is away: what is asked for waits, and is done when it is back.

One failed try is one too many here (``LIMITS``), so that an absence that counts as a try is seen
however short it is.
"""

import pytest

from hostagent import config as host_config
from hostagent.service import Service
from tests.harness.waiting import wait_until
from tests.harness.wired import WiredCloud, WiredHost

LIMITS = """
[limits]
attempts = 1
device_attempts = 1
served_attempts = 1
volume_attempts = 1
"""


@pytest.fixture
def cloud(tmp_path):
    with WiredCloud(tmp_path, hosts=1, host=LIMITS) as cloud:
        yield cloud


@pytest.fixture
def account(cloud):
    return cloud.account("customer")


def launch(cloud, account) -> str:
    answer = account.ec2.run_instances(ImageId=cloud.image_id, MinCount=1, MaxCount=1)
    return answer["Instances"][0]["InstanceId"]


def create_volume(account) -> str:
    return account.ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]


def volume(account, volume_id: str) -> dict:
    return account.ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"][0]


def wait_for_volume(account, volume_id: str, state: str) -> None:
    wait_until(f"{volume_id} {state}", lambda: volume(account, volume_id)["State"] == state)


def attachments(account, volume_id: str, interface_id: str) -> set[str]:
    (nic,) = account.ec2.describe_network_interfaces(NetworkInterfaceIds=[interface_id])[
        "NetworkInterfaces"
    ]
    there = volume(account, volume_id)["Attachments"]
    return {each["State"] for each in there} | {nic.get("Attachment", {}).get("Status")}


def away(cloud) -> str:
    (host,) = cloud.operator.api("GET", "/v1/hosts")["hosts"]
    assert host["health"] == "up"
    return host["hypervisor_away"]


def wait_until_away(cloud) -> None:
    wait_until("the controller knows", lambda: away(cloud))
    readiness = cloud.operator.api("GET", "/v1/readiness")
    assert not readiness["ready"]
    assert any("launches wait" in reason for reason in readiness["reasons"])


def test_all_that_is_asked_for_meanwhile_waits_and_is_done(cloud, account):
    ec2 = account.ec2
    guest = launch(cloud, account)
    account.wait_for("running", guest)
    attached = create_volume(account)
    wait_for_volume(account, attached, "available")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    interface = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]
    interface_id = interface["NetworkInterfaceId"]
    root = ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [guest]}])[
        "Volumes"
    ][0]["VolumeId"]

    cloud.hosts[0].hypervisor.leave()
    ec2.attach_volume(VolumeId=attached, InstanceId=guest, Device="/dev/sdf")
    ec2.attach_network_interface(NetworkInterfaceId=interface_id, InstanceId=guest, DeviceIndex=1)
    snapshot = ec2.create_snapshot(VolumeId=root)["SnapshotId"]
    second, free = launch(cloud, account), create_volume(account)
    image = ec2.create_image(InstanceId=guest, Name="of-it", NoReboot=True)["ImageId"]
    wait_until_away(cloud)
    assert attachments(account, attached, interface_id) == {"attaching"}
    assert account.states() == {guest: "running", second: "pending"}
    assert volume(account, free)["State"] == "creating"
    assert snapshot_state(account, snapshot) == "pending"
    assert image_state(account, image) == "pending"

    cloud.hosts[0].hypervisor.come_back()
    account.wait_for("running", guest, second)
    wait_for_volume(account, free, "available")
    wait_until("completed", lambda: snapshot_state(account, snapshot) == "completed")
    wait_until("available", lambda: image_state(account, image) == "available")
    wait_until("attached", lambda: attachments(account, attached, interface_id) == {"attached"})
    wait_until("the controller knows", lambda: not away(cloud))
    assert cloud.operator.api("GET", "/v1/readiness")["ready"]


def snapshot_state(account, snapshot_id: str) -> str:
    return account.ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"][0]["State"]


def image_state(account, image_id: str) -> str:
    return account.ec2.describe_images(ImageIds=[image_id])["Images"][0]["State"]


def test_an_agent_that_begins_before_its_hypervisor(cloud, account):
    """It serves, its host has its capacity, and what is asked of it waits."""
    (path,) = cloud.files.host_tomls
    cloud.hosts.pop().service.stop()
    service = Service(host_config.load(path))
    cloud.hosts.append(WiredHost(service))
    cloud.hosts[0].hypervisor.leave()
    service.start()
    try:
        wait_until_away(cloud)
        guest, free = launch(cloud, account), create_volume(account)
        assert account.states() == {guest: "pending"}
        assert volume(account, free)["State"] == "creating"
        cloud.hosts[0].hypervisor.come_back()
        account.wait_for("running", guest)
        wait_for_volume(account, free, "available")
    finally:
        service.stop()


def test_what_is_new_goes_where_the_hypervisor_is_there(tmp_path):
    with WiredCloud(tmp_path, hosts=2) as cloud:
        account = cloud.account("customer")
        cloud.hosts[1].hypervisor.leave()
        wait_until("both are heard", lambda: sorted(map(bool, _away(cloud))) == [False, True])
        guests = {launch(cloud, account) for _ in range(4)}
        account.wait_for("running", *guests)
        assert set(cloud.hosts[0].state.guests) == guests
        wait_for_volume(account, create_volume(account), "available")


def _away(cloud) -> list[str]:
    return [host["hypervisor_away"] for host in cloud.operator.api("GET", "/v1/hosts")["hosts"]]
