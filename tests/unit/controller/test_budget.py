"""What a launch may cost: at most 24 SQL statements and 4 RPCs from the call
to `running`."""

import pytest

from protos.cloud.v1 import common_pb2, keys_pb2
from tests.unit.controller.cloud import Cloud

STATEMENTS, RPCS = 24, 4


@pytest.fixture
def statements():
    return []


@pytest.fixture
def cloud(tmp_path, statements):
    return Cloud(tmp_path, on_statement=statements.append)


def launch(cloud, statements, **more):
    """Run, Apply, Report: three RPCs, as the agent reports once when a guest runs."""
    statements.clear()
    reservation = cloud.run(**more)
    cloud.app.dispatch_pending()
    cloud.host.work()
    cloud.host.heartbeat()
    spent = list(statements)
    assert {one.state for one in cloud.describe()} == {"running"}
    return reservation, spent


def listed(spent):
    return "\n".join([f"{len(spent)} statements:", *(sql[:150] for sql in spent)])


def test_a_launch_with_all_that_scripts_give_it_stays_in_the_budget(cloud, statements):
    cloud.client("KeyPairs").Create(
        keys_pb2.CreateKeyPairRequest(key_name="mine", key_type="ed25519"),
        caller=cloud.alice.caller(),
    )
    cloud.run_ids()  # the VPC is on the host already: that costs more, not less
    applied = len(cloud.host.applied)
    tags = [common_pb2.Tag(key="Name", value="web")]
    _, spent = launch(
        cloud,
        statements,
        key_name="mine",
        user_data=b"#!/bin/sh",
        client_token="once",
        tag_specifications=[common_pb2.TagSpecification(resource_type="instance", tags=tags)],
    )
    assert len(spent) <= STATEMENTS, listed(spent)
    assert len(cloud.host.applied) - applied == 1


def test_fifty_instances_cost_little_more_than_one(cloud, statements):
    cloud.add_host(9, vcpus=64, memory_mib=262144, disk_gib=5000)
    statements.clear()
    reservation = cloud.run(min_count=50, max_count=50)
    assert len(reservation.instances) == 50
    assert len(statements) <= STATEMENTS, listed(statements)


@pytest.mark.parametrize("count", [1, 40])
def test_a_page_costs_the_same_statements_whatever_its_size(cloud, statements, count):
    cloud.run_ids(count, instance_type="t2.nano")
    statements.clear()
    assert len(cloud.describe()) == count
    assert len(statements) <= 6, listed(statements)
