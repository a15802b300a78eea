"""A guest finds its interfaces and disks where they were when it is started again, in whatever
order they were plugged in.
"""

import pytest

from tests.real.real_cloud import eventually
from tests.real.tenant import Tenant, serial_of

FAST = {"Delay": 1, "MaxAttempts": 180}
ON_THE_BRIDGE = 16  # the first device index whose place is on the second bus
LOOK = """
for each in /sys/class/net/eth* /sys/block/vd*; do
  echo $(cat $each/address $each/serial 2>/dev/null) ${each##*/} \
      $(basename $(readlink -f $each/device/..))
done
"""


@pytest.fixture(scope="module")
def tenant(cloud, tmp_path_factory):
    return Tenant.of(cloud, "places", tmp_path_factory.mktemp("places"))


@pytest.fixture(scope="module")
def guest(tenant):
    """It has an elastic address, and room for three interfaces."""
    (instance_id,) = tenant.launched(1, InstanceType="t3.small")
    address = tenant.ec2.allocate_address(Domain="vpc")["AllocationId"]
    tenant.ec2.associate_address(InstanceId=instance_id, AllocationId=address)
    return instance_id


def found(tenant, guest) -> dict[str, tuple[str, str]]:
    """MAC address or serial -> (name in the guest, place)."""
    rows = [line.split() for line in tenant.said(guest, LOOK).splitlines()]
    return {known_by: (name, place) for known_by, name, place in rows}


def restarted(tenant, guest) -> None:
    for act, state in (("stop", "stopped"), ("start", "running")):
        getattr(tenant.ec2, f"{act}_instances")(InstanceIds=[guest])
        tenant.ec2.get_waiter(f"instance_{state}").wait(InstanceIds=[guest], WaiterConfig=FAST)


def plugged(tenant, guest, device_index: int) -> str:
    """Answers the MAC address of an interface that the guest has."""
    of = tenant.instance(guest)
    made = tenant.ec2.create_network_interface(SubnetId=of["SubnetId"])["NetworkInterface"]
    tenant.ec2.attach_network_interface(
        NetworkInterfaceId=made["NetworkInterfaceId"], InstanceId=guest, DeviceIndex=device_index
    )
    eventually(lambda: made["MacAddress"] in found(tenant, guest), f"index {device_index}", 60)
    return made["MacAddress"]


def test_interfaces_are_in_the_order_of_their_device_indexes(tenant, guest):
    second = plugged(tenant, guest, ON_THE_BRIDGE)
    first = plugged(tenant, guest, 1)
    before = found(tenant, guest)
    restarted(tenant, guest)
    after = found(tenant, guest)
    assert {each: place for each, (_, place) in before.items()} == {
        each: place for each, (_, place) in after.items()
    }
    (primary,) = [mac for mac, (name, _) in after.items() if name == "eth0"]
    assert (after[first][0], after[second][0]) == ("eth1", "eth2")
    assert after[primary][1] < after[first][1] < after[second][1]
    assert after[second][1].startswith("0000:01:")


def test_disks_keep_names_and_places(tenant, guest):
    """Also one that was plugged in where another had been taken out."""
    one, two, three = (tenant.created(Size=1) for _ in range(3))
    tenant.attach(one, guest, "/dev/sdg")
    tenant.attach(two, guest, "/dev/sdf")
    tenant.detach(one, guest)
    tenant.attach(three, guest, "/dev/sdh")
    eventually(lambda: serial_of(three) in found(tenant, guest), "three disks", 60)
    before = found(tenant, guest)
    assert (before[serial_of(three)][0], before[serial_of(two)][0]) == ("vdb", "vdc")
    restarted(tenant, guest)
    assert found(tenant, guest) == before


def test_all_of_it_goes(tenant, guest):
    """The cloud is other tests', too, which count what is on its host."""
    tenant.terminate([guest])
    volumes = tenant.ec2.describe_volumes
    for volume in volumes()["Volumes"]:
        tenant.ec2.delete_volume(VolumeId=volume["VolumeId"])
    eventually(lambda: not volumes()["Volumes"], "its volumes are gone", 60)
