"""Of which volumes a snapshot can be taken."""

import pytest

from protos.cloud.v1 import volumes_pb2
from protos.cloud.v1.instances_pb2 import BlockDeviceMapping as Mapping
from protos.errors import CloudError, Kind
from tests.unit.controller.cloud import Cloud


@pytest.fixture
def cloud(tmp_path):
    return Cloud(tmp_path)


def take(cloud, volume_id: str) -> volumes_pb2.Snapshot:
    request = volumes_pb2.CreateSnapshotRequest(volume_id=volume_id)
    return cloud.client("Snapshots").Create(request, caller=cloud.alice.caller())


def test_none_of_what_goes_with_an_instance_that_ends(cloud):
    """Its host may have removed it by the time that it is told."""
    stays = Mapping(device_name="/dev/sdf", volume_size_gib=1, delete_on_termination=False)
    (instance_id,) = cloud.run_ids(block_device_mappings=[stays])
    root, data = [one.volume_id for one in cloud.describe(instance_id)[0].block_devices]
    assert take(cloud, root).state == "pending"
    cloud.on("Terminate", [instance_id])
    with pytest.raises(CloudError) as refusal:
        take(cloud, root)
    assert (refusal.value.kind, refusal.value.noun) == (Kind.WRONG_STATE, "volume")
    assert refusal.value.message == f"The volume '{root}' is in the state 'deleting'."
    assert take(cloud, data).state == "pending"
