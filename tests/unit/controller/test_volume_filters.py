"""DescribeVolumes' filters, each by what it finds of two volumes that differ in all of it."""

from datetime import UTC, datetime

import pytest

from protos.cloud.v1 import common_pb2
from tests.unit.controller.cloud import IMAGE_ID, Cloud
from tests.unit.controller.volume_calls import call, created, seen

NAMED = [common_pb2.Tag(key="Name", value="data")]
BLANK, ROOT, BOTH, NEITHER = {"blank"}, {"root"}, {"blank", "root"}, set()
# filter → value, and which volumes it finds: "blank" by itself, or the "root" disk of an instance.
FOUND_BY = {
    "availability-zone": [("us-east-1?", BOTH), ("us-east-1b", NEITHER)],
    "availability-zone-id": [("use1-az1", BOTH), ("use1-az2", NEITHER)],
    "encrypted": [("false", BOTH), ("true", NEITHER)],
    "size": [("10", BLANK), ("1", ROOT)],
    "volume-type": [("gp3", BLANK), ("gp2", ROOT)],
    "iops": [("4000", BLANK), ("100", ROOT)],
    "throughput": [("250", BLANK)],
    "multi-attach-enabled": [("false", BOTH), ("true", NEITHER)],
    "fast-restored": [("false", BOTH)],
    "operator.managed": [("false", BOTH)],
    "operator.principal": [("*", NEITHER)],
    "snapshot-id": [("snap-*", NEITHER)],
    "status": [("available", BLANK), ("in-use", ROOT), ("creating", NEITHER)],
    "attachment.device": [("/dev/*", ROOT)],
    "attachment.delete-on-termination": [("true", ROOT), ("false", NEITHER)],
    "attachment.status": [("attached", ROOT), ("detaching", NEITHER)],
    "tag:Name": [("data", BLANK), ("other", NEITHER)],
    "tag-key": [("Name", BLANK)],
}


@pytest.fixture(scope="module")
def there(tmp_path_factory):
    cloud = Cloud(tmp_path_factory.mktemp("filters"))
    tagged = [common_pb2.TagSpecification(resource_type="volume", tags=NAMED)]
    shape = {"volume_type": "gp3", "iops": 4000, "throughput_mibps": 250}
    blank = created(cloud, 10, tag_specifications=tagged, **shape)
    (instance,) = cloud.run_ids(image_id=IMAGE_ID)
    cloud.converge()
    (root,) = {one.volume_id for one in call(cloud, "Describe").volumes} - {blank}
    return cloud, instance, {blank: "blank", root: "root"}


def found(there, name: str, value: str) -> set[str]:
    cloud, _, names = there
    asked = [common_pb2.Filter(name=name, values=[value])]
    return {names[one.volume_id] for one in call(cloud, "Describe", filters=asked).volumes}


@pytest.mark.parametrize("name", FOUND_BY)
def test_a_filter_finds(there, name):
    for value, expected in FOUND_BY[name]:
        assert found(there, name, value) == expected, value


def test_filters_by_what_the_world_decides(there):
    cloud, instance, names = there
    for volume_id, name in names.items():
        assert found(there, "volume-id", volume_id) == {name}
        made = datetime.fromtimestamp(seen(cloud, volume_id).create_time_ms / 1000, UTC)
        assert name in found(there, "create-time", made.strftime("%Y-%m-%dT%H:%M:*"))
    assert found(there, "attachment.instance-id", instance) == ROOT
    assert found(there, "attachment.attach-time", "*") == ROOT
