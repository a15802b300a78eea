"""Who sees which snapshots, and whom they are shared with."""

import pytest

from controller.kernel.call import system_call
from controller.tables.storage import Snapshot
from protos.cloud.v1 import volumes_pb2
from protos.errors import CloudError, Kind
from tests.unit.controller.cloud import Cloud

HIDDEN, NAMED, PUBLIC = (f"snap-0000000{number}" for number in range(1, 4))
STRANGER = "999999999999"


@pytest.fixture
def cloud(tmp_path):
    """Alice's: one of her own, one that Bob and a stranger may use, one that everybody may."""
    cloud = Cloud(tmp_path)
    with cloud.db.write(system_call(cloud.now_ms)) as tx:
        mine = {"account_id": cloud.alice.account_id, "status": "completed"}
        tx.insert(Snapshot, [{"snapshot_id": one} | mine for one in (HIDDEN, NAMED, PUBLIC)])
    share(cloud, NAMED, add_account_ids=[cloud.bob.account_id, STRANGER])
    share(cloud, PUBLIC, public=True, add_account_ids=[STRANGER])
    return cloud


def share(cloud, snapshot_id, account=None, **changes):
    request = volumes_pb2.ModifySnapshotAttributeRequest(snapshot_id=snapshot_id, **changes)
    caller = (account or cloud.alice).caller()
    cloud.client("Snapshots").ModifyAttribute(request, caller=caller)


def seen(cloud, account, **asked) -> set[str]:
    request = volumes_pb2.DescribeSnapshotsRequest(**asked)
    answer = cloud.client("Snapshots").Describe(request, caller=account.caller())
    return {one.snapshot_id for one in answer.snapshots}


def test_an_account_sees_its_own_and_what_it_may_use(cloud):
    assert seen(cloud, cloud.alice) == {HIDDEN, NAMED, PUBLIC}
    assert seen(cloud, cloud.bob) == {NAMED, PUBLIC}
    share(cloud, PUBLIC, public=False)
    share(cloud, NAMED, remove_account_ids=[cloud.bob.account_id])
    assert seen(cloud, cloud.bob) == set()


def test_who_can_restore_which(cloud):
    assert seen(cloud, cloud.bob, restorable_by=["all"]) == {PUBLIC}
    assert seen(cloud, cloud.bob, restorable_by=["self"]) == {NAMED}
    assert seen(cloud, cloud.alice, restorable_by=[STRANGER]) == {NAMED, PUBLIC}
    assert seen(cloud, cloud.alice, restorable_by=["self"]) == {HIDDEN, NAMED, PUBLIC}


def test_with_whom_another_shares_is_not_to_be_guessed(cloud):
    assert seen(cloud, cloud.bob, restorable_by=[STRANGER]) == set()
    by_owner = {"restorable_by": [cloud.alice.account_id]}
    assert seen(cloud, cloud.bob, **by_owner) == {NAMED, PUBLIC}  # who owns it can be seen


def test_only_its_owner_shares_it(cloud):
    for snapshot_id, kind in ((NAMED, Kind.DENIED), (HIDDEN, Kind.NOT_FOUND)):
        with pytest.raises(CloudError) as caught:
            share(cloud, snapshot_id, cloud.bob, public=True)
        assert caught.value.kind is kind
