"""A cloud of the release before goes on under this one: release_0_1 holds what release 0.1's
controller left in its database, in the middle of work, and what it answered just before."""

import json
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict

from controller.config import Config
from controller.kernel.call import system_call
from controller.kernel.sqlite import open_sqlite
from controller.tables.hosts import Assignment
from controller.tables.migrations import MIGRATIONS
from protos.cloud.v1 import identity_pb2, instances_pb2, networks_pb2, volumes_pb2
from tests.unit.controller.cloud import Cloud
from tests.unit.controller.obedient import ObedientHost

RELEASE = Path(__file__).with_name("release_0_1")
HOST_ID = f"h-{0:017x}"
KEY_ID = "AKIA7B3JEDJ2FSULRCBG"  # alice's
POSITION = 25  # of the newest that its host had heard of


@pytest.fixture
def cloud(tmp_path):
    _write_release(Config(state_dir=tmp_path).database)
    return Cloud(tmp_path, hosts=0)


def _write_release(path: Path) -> None:
    db = open_sqlite(path, synchronous="off")
    with db.rebuild(system_call(1)) as tx:
        MIGRATIONS[0][1](tx)
        tx.define(
            "CREATE TABLE schema_migration"
            " (number INTEGER NOT NULL PRIMARY KEY, applied_ms BIGINT NOT NULL)"
        )
        tx.define("INSERT INTO schema_migration VALUES (1, 1)")
        for statement in (RELEASE / "rows.sql").read_text().split(";\n"):
            if statement:
                tx.define(statement)
    db.close()


def answers(cloud) -> dict:
    asked = {
        "instances": ("Instances", "Describe", instances_pb2.DescribeInstancesRequest()),
        "volumes": ("Volumes", "Describe", volumes_pb2.DescribeVolumesRequest()),
        "interfaces": (
            "Networks",
            "DescribeNetworkInterfaces",
            networks_pb2.DescribeNetworkInterfacesRequest(),
        ),
        "snapshots": ("Snapshots", "Describe", volumes_pb2.DescribeSnapshotsRequest()),
        "vpcs": ("Networks", "DescribeVpcs", networks_pb2.DescribeVpcsRequest()),
    }
    caller = cloud.alice.caller()
    return {
        name: MessageToDict(getattr(cloud.client(service), method)(request, caller=caller))
        for name, (service, method, request) in asked.items()
    }


def answered_before() -> dict:
    """Release 0.1 named instances of us-east-1 otherwise than EC2 does."""
    text = (RELEASE / "answers.json").read_text()
    return json.loads(text.replace(".compute.internal", ".ec2.internal"))


def test_it_answers_what_the_release_before_answered(cloud):
    assert answers(cloud) == answered_before()
    assert cloud.discrepancies() == []


def test_its_access_keys_still_sign_for_their_accounts(cloud):
    asked = identity_pb2.GetSigningKeyRequest(
        access_key_id=KEY_ID, date="20260131", region="us-east-1", service="ec2"
    )
    answer = cloud.client("Identity").GetSigningKey(asked)
    account_id = cloud.alice.account_id
    assert answer.key and answer.principal == identity_pb2.Principal(
        account_id=account_id, arn=f"arn:aws:iam::{account_id}:root", user_id=account_id
    )


def test_a_host_is_told_everything_once_more_and_what_was_under_way_ends(cloud):
    host = cloud.hosts[HOST_ID] = ObedientHost(HOST_ID, cloud)
    host.epoch, host.sequence, host.position = 2, 0, POSITION
    host.heartbeat(facts=host.facts)
    with cloud.db.read() as session:
        assigned = session.tuples(Assignment.select(Assignment.resource_id, Assignment.revision))
    assert host.revisions == dict(assigned) != {}
    cloud.converge()
    cloud.tasks()
    states = {one["instanceId"]: one["state"] for one in _instances(answers(cloud))}
    before = _instances(answered_before())
    for one in before:
        expected = {"pending": "running"}.get(one["state"], one["state"])
        assert states[one["instanceId"]] == expected
    volumes = {one["volumeId"]: one for one in answers(cloud)["volumes"]["volumes"]}
    left = [one for one in volumes.values() if not one.get("attachments")]
    assert sorted((one["state"], one["sizeGib"]) for one in left) == [
        ("available", 5),  # was being made
        ("available", 10),  # was leaving its guest
        ("available", 20),  # was growing
    ]
    attached = [each["state"] for one in volumes.values() for each in one.get("attachments", ())]
    assert set(attached) == {"attached"}
    (snapshot_id,) = host.snapshots
    host.end_snapshot(snapshot_id)
    assert {one["state"] for one in answers(cloud)["snapshots"]["snapshots"]} == {"completed"}
    assert cloud.discrepancies() == []


def _instances(answers: dict) -> list[dict]:
    return [one for each in answers["instances"]["reservations"] for one in each["instances"]]
