"""Instances in their life: start, stop, reboot, terminate, attributes, and ends that nobody asked
for."""

import pytest

from controller.kernel.call import system_call
from controller.tables.compute import Attachment, Instance, Placement
from controller.tables.hosts import Assignment, Host
from controller.tables.identity import Quota
from controller.tables.storage import Volume
from protos.cloud.v1 import fleet_pb2, instances_pb2, networks_pb2, quotas_pb2
from protos.errors import CloudError, Kind
from tests.unit.controller.cloud import Cloud
from tests.unit.controller.refusals import error_of

Modify = instances_pb2.ModifyInstanceAttributeRequest


@pytest.fixture
def cloud(tmp_path):
    made = Cloud(tmp_path)
    yield made
    assert made.discrepancies() == []


def used(cloud):
    """(vcpus, memory, disk) of the host, and what the account is charged."""
    with cloud.db.read() as session:
        host = session.one(Host.select())
        quotas = {
            row.name: row.used
            for row in session.rows(
                Quota.select().where(Quota.account_id == cloud.alice.account_id)
            )
        }
    charged = tuple(quotas[name] for name in ("instances", "vcpus", "memory_mib"))
    return (host.vcpus_used, host.memory_mib_used, host.disk_gib_used), charged


def changes(answer):
    return [(one.previous_state, one.current_state) for one in answer.changes]


def modify(cloud, instance_id, **attribute):
    return cloud.instances.ModifyAttribute(
        Modify(instance_id=instance_id, **attribute), caller=cloud.alice.caller()
    )


def attributes(cloud, instance_id):
    return cloud.instances.DescribeAttributes(
        instances_pb2.InstanceRequest(instance_id=instance_id), caller=cloud.alice.caller()
    )


# --- a life as its user wants it ------------------------------------------------------------------


def test_stop_gives_back_what_start_claims_again(cloud):
    (one,) = cloud.run_ids()
    before = cloud.describe(one)[0]
    assert used(cloud) == ((1, 1024, 1), (1, 1, 1024))
    assert changes(cloud.on("Stop", [one])) == [("running", "stopping")]
    cloud.converge()
    stopped = cloud.describe(one)[0]
    assert stopped.state == "stopped"
    assert used(cloud) == ((0, 0, 1), (1, 0, 0)), "the disk stays, and with it its claim"
    assert stopped.public_ip_address == "", "a lent address goes back to the pool"
    assert stopped.state_reason.code == "Client.UserInitiatedShutdown"
    assert stopped.state_transition_reason.startswith("User initiated (20")
    assert changes(cloud.on("Start", [one])) == [("stopped", "pending")]
    assert used(cloud) == ((1, 1024, 1), (1, 1, 1024))
    cloud.converge()
    again = cloud.describe(one)[0]
    assert again.state == "running"
    assert again.private_ip_address == before.private_ip_address
    assert again.public_ip_address
    assert not again.state_reason.code
    assert cloud.host.specs[one].starts == 2
    (vpc,) = cloud.host.vpcs.values()
    assert [address.public_ip for address in vpc.public_addresses] == [again.public_ip_address]


def test_terminate_gives_back_everything(cloud):
    ids = cloud.run_ids(3)
    assert changes(cloud.on("Terminate", ids)) == [("running", "shutting-down")] * 3
    assert used(cloud)[0] == (3, 3072, 3), "nothing is given back before it is gone"
    cloud.converge()
    assert cloud.states(*ids) == ["terminated"] * 3
    assert used(cloud) == ((0, 0, 0), (0, 0, 0))
    gone = cloud.describe(ids[0])[0]
    assert (gone.private_ip_address, gone.vpc_id, len(gone.block_devices)) == ("", "", 0)
    assert changes(cloud.on("Terminate", ids)) == [("terminated", "terminated")] * 3
    cloud.converge()
    assert cloud.host.specs == {}, "the host has forgotten them, too"


def test_a_kept_volume_outlives_its_instance_and_keeps_its_space(cloud):
    mapping = instances_pb2.BlockDeviceMapping(device_name="/dev/xvda", delete_on_termination=False)
    (one,) = cloud.run_ids(block_device_mappings=[mapping])
    cloud.on("Terminate", [one])
    cloud.converge()
    assert used(cloud)[0] == (0, 0, 1)
    with cloud.db.read() as session:
        assert session.one(Volume.select()) is not None
        assert session.one(Attachment.select()) is None


def test_doing_it_twice_does_it_once(cloud):
    (one,) = cloud.run_ids()
    assert changes(cloud.on("Start", [one])) == [("running", "running")]
    assert changes(cloud.on("Stop", [one, one])) == [("running", "stopping")]
    assert changes(cloud.on("Stop", [one])) == [("stopping", "stopping")]
    cloud.converge()
    assert changes(cloud.on("Stop", [one])) == [("stopped", "stopped")]
    assert changes(cloud.on("Start", [one])) == [("stopped", "pending")]
    assert changes(cloud.on("Start", [one])) == [("pending", "pending")]
    cloud.converge()
    assert used(cloud) == ((1, 1024, 1), (1, 1, 1024))


def test_force_can_follow_a_stop_that_the_guest_ignores(cloud):
    (one,) = cloud.run_ids()
    cloud.host.obeys = False
    cloud.on("Stop", [one])
    cloud.converge()
    assert not cloud.host.specs[one].force_stop
    cloud.on("Stop", [one], force=True)
    cloud.converge()
    assert cloud.host.specs[one].force_stop


def test_a_reboot_is_counted_and_proves_nothing_about_the_state(cloud):
    (one,) = cloud.run_ids()
    cloud.on("Reboot", [one])
    cloud.on("Reboot", [one])
    assert cloud.states(one) == ["running"]
    cloud.converge()
    assert cloud.host.specs[one].reboots == 2


@pytest.mark.parametrize(
    ("state", "refusing"),
    [
        ("pending", {"Stop"}),
        ("stopping", {"Start", "Reboot"}),
        ("stopped", {"Reboot"}),
        ("shutting-down", {"Start", "Stop"}),
        ("terminated", {"Start", "Stop"}),
    ],
)
def test_what_a_state_refuses(cloud, state, refusing):
    if state == "pending":
        (one,) = [instance.instance_id for instance in cloud.run().instances]
    else:
        (one,) = cloud.run_ids()
        cloud.on("Stop" if state.startswith("stop") else "Terminate", [one])
        if state in ("stopped", "terminated"):
            cloud.converge()
    assert cloud.states(one) == [state]
    for method in sorted(refusing):
        refusal = error_of(cloud.on, method, [one])
        assert (refusal.kind, refusal.noun, refusal.id) == (Kind.WRONG_STATE, "instance", one)
        assert cloud.states(one) == [state]


def test_a_reboot_of_one_that_goes_is_ignored_and_others_reboot(cloud):
    stays, goes = cloud.run_ids(2)
    cloud.on("Terminate", [goes])
    for _ in ("shutting-down", "terminated"):
        cloud.on("Reboot", [stays, goes])
        cloud.converge()
    assert cloud.states(stays, goes) == ["running", "terminated"]
    assert cloud.host.specs[stays].reboots == 2


def test_one_that_starts_takes_a_reboot(cloud):
    (one,) = [instance.instance_id for instance in cloud.run().instances]
    cloud.on("Reboot", [one])
    assert cloud.states(one) == ["pending"]
    cloud.converge()
    assert cloud.states(one) == ["running"]
    assert cloud.host.specs[one].reboots == 1


def test_all_of_a_call_or_none(cloud):
    one, two = cloud.run_ids(2)
    cloud.on("Terminate", [two])
    assert error_of(cloud.on, "Stop", [one, two]).id == two
    assert error_of(cloud.on, "Stop", [one, "i-00000000000000bad"]).kind is Kind.NOT_FOUND
    assert error_of(cloud.on, "Stop", [one, "i-bad"]).kind is Kind.MALFORMED_ID
    assert error_of(cloud.on, "Stop", []).reason == "missing-parameter"
    assert cloud.states(one) == ["running"]


def test_another_accounts_instance_is_not_there(cloud):
    (one,) = cloud.run_ids()
    for method in ("Start", "Stop", "Reboot", "Terminate"):
        assert error_of(cloud.on, method, [one], account=cloud.bob).kind is Kind.NOT_FOUND
    assert error_of(cloud.describe, one, account=cloud.bob).kind is Kind.NOT_FOUND
    assert cloud.describe(account=cloud.bob) == []


def test_protections_hold_until_taken_off(cloud):
    (one,) = cloud.run_ids(disable_api_termination=True, disable_api_stop=True)
    assert error_of(cloud.on, "Terminate", [one]).reason == "termination-protected"
    assert error_of(cloud.on, "Stop", [one]).reason == "stop-protected"
    modify(cloud, one, disable_api_stop=False)
    modify(cloud, one, disable_api_termination=False)
    cloud.on("Stop", [one])
    cloud.on("Terminate", [one])
    cloud.converge()
    assert cloud.states(one) == ["terminated"]


def test_a_start_on_a_full_host_says_so_and_claims_nothing(cloud):
    (one,) = cloud.run_ids(instance_type="t3.xlarge")
    cloud.on("Stop", [one])
    cloud.converge()
    cloud.run_ids(instance_type="t3.xlarge")
    before = used(cloud)
    assert error_of(cloud.on, "Start", [one]).kind is Kind.NO_CAPACITY
    assert used(cloud) == before
    assert cloud.states(one) == ["stopped"]


def test_a_start_is_charged_like_a_launch(cloud):
    (one,) = cloud.run_ids()
    cloud.on("Stop", [one])
    cloud.converge()
    operator = cloud.alice.caller()
    cloud.client("Quotas").Set(
        quotas_pb2.SetQuotaRequest(account_id=cloud.alice.account_id, name="vcpus", limit=0),
        caller=type(operator)(account_id=operator.account_id, operator=True),
    )
    assert error_of(cloud.on, "Start", [one]).kind is Kind.QUOTA
    assert used(cloud)[1] == (1, 0, 0)


# --- ends that nobody asked for -------------------------------------------------------------------


@pytest.mark.parametrize(("behavior", "end"), [("stop", "stopped"), ("terminate", "terminated")])
def test_a_guest_that_powers_itself_off(cloud, behavior, end):
    (one,) = cloud.run_ids(instance_initiated_shutdown_behavior=behavior)
    cloud.host.see(one, fleet_pb2.EXITED)
    cloud.host.heartbeat()
    cloud.converge()
    gone = cloud.describe(one)[0]
    assert gone.state == end
    assert gone.state_reason.code == "Client.InstanceInitiatedShutdown"
    if end == "stopped":
        assert used(cloud)[0] == (0, 0, 1)
        cloud.on("Start", [one])
        cloud.converge()
        assert cloud.states(one) == ["running"]


def test_an_exit_from_before_a_start_says_nothing_about_the_start(cloud):
    (one,) = cloud.run_ids()
    cloud.host.see(one, fleet_pb2.EXITED)
    late = cloud.host.report()
    cloud.on("Stop", [one])
    cloud.converge()
    cloud.on("Start", [one])
    with pytest.raises(CloudError):
        cloud.fleet("h-00000000000000bad").Report(late)
    cloud.fleet(cloud.host.host_id).Report(late)
    assert cloud.states(one) == ["pending"]
    cloud.converge()
    assert cloud.states(one) == ["running"]


@pytest.mark.parametrize(
    "said",
    [
        "image ami-1 is cut off",
        "Server.InternalError: image ami-1 is cut off",
        "Server.InternalError: Server.InternalError: image\nami-1 is\n cut off\n",
    ],
)
def test_a_launch_that_fails_is_terminated_with_the_reason(cloud, said):
    """In one line that has the code once, whatever the host's words are."""
    cloud.host.fails.add("*")
    cloud.host.why = said
    (one,) = [instance.instance_id for instance in cloud.run().instances]
    cloud.converge()
    failed = cloud.describe(one)[0]
    assert failed.state == "terminated"
    assert failed.state_reason.code == "Server.InternalError"
    assert failed.state_reason.message == "Server.InternalError: image ami-1 is cut off"
    assert used(cloud) == ((0, 0, 0), (0, 0, 0))


def test_a_start_that_fails_leaves_it_stopped_with_its_disks(cloud):
    (one,) = cloud.run_ids()
    cloud.on("Stop", [one])
    cloud.converge()
    cloud.host.fails.add(one)
    cloud.on("Start", [one])
    cloud.converge()
    stopped = cloud.describe(one)[0]
    assert stopped.state == "stopped"
    assert stopped.state_reason.code == "Server.InternalError"
    assert len(stopped.block_devices) == 1
    assert used(cloud)[0] == (0, 0, 1)


def test_what_follows_is_done_by_the_task_where_the_controller_died_in_between(cloud):
    (one,) = cloud.run_ids()
    with cloud.db.write(system_call(cloud.now_ms)) as tx:
        tx.advance(Assignment, {"observed": "exited"}, Assignment.resource_id == one)
    assert cloud.states(one) == ["stopping"]
    cloud.tasks()
    cloud.converge()
    assert cloud.states(one) == ["stopped"]


def test_a_launch_that_nobody_works_on_is_given_up(cloud):
    cloud.host.obeys = False
    (one,) = [instance.instance_id for instance in cloud.run().instances]
    cloud.converge()
    cloud.tasks(later_ms=1_799_000)
    assert cloud.states(one) == ["pending"]
    cloud.tasks(later_ms=2_000)
    given_up = cloud.describe(one)[0]
    assert (given_up.state, given_up.state_reason.code) == ("shutting-down", "Server.InternalError")
    assert used(cloud)[0] == (1, 1024, 1), "what the host may hold is claimed until it speaks"
    cloud.host.obeys = True
    cloud.converge()
    assert cloud.states(one) == ["terminated"]


def test_a_start_that_nobody_works_on_is_given_up_and_keeps_its_disks(cloud):
    (one,) = cloud.run_ids()
    cloud.on("Stop", [one])
    cloud.converge()
    cloud.host.obeys = False
    cloud.on("Start", [one])
    cloud.converge()
    cloud.tasks(later_ms=1_801_000)
    cloud.host.obeys = True
    cloud.converge()
    assert cloud.states(one) == ["stopped"]


def test_what_cannot_be_reconciled_keeps_nothing_else_and_no_report(cloud):
    broken, sound = cloud.run_ids(2)
    is_broken = Placement.instance_id == broken
    with cloud.db.write(system_call(cloud.now_ms)) as tx:
        tx.advance(Placement, {"vcpus": 10**6}, is_broken)  # more than was ever charged
    cloud.on("Terminate", [broken, sound])
    cloud.converge()
    living = Placement.select(Placement.instance_id).where(Placement.live)
    with cloud.db.read() as session:
        assert [row.instance_id for row in session.rows(living)] == [broken]
    with cloud.db.write(system_call(cloud.now_ms)) as tx:
        tx.advance(Placement, {"vcpus": 1}, is_broken)
    cloud.tasks()
    with cloud.db.read() as session:
        assert session.rows(living) == []
    assert used(cloud) == ((0, 0, 0), (0, 0, 0))


def test_terminated_instances_are_seen_for_an_hour(cloud):
    (one,) = cloud.run_ids()
    cloud.on("Terminate", [one])
    cloud.converge()
    cloud.tasks(later_ms=3_599_000)
    assert cloud.states(one) == ["terminated"]
    cloud.tasks(later_ms=2_000)
    assert error_of(cloud.describe, one).kind is Kind.NOT_FOUND
    with cloud.db.read() as session:
        assert session.rows(Instance.select()) == session.rows(Placement.select()) == []


# --- attributes -----------------------------------------------------------------------------------


def test_attributes_and_their_defaults(cloud):
    (one,) = cloud.run_ids(user_data=b"\x00\xff")
    found = attributes(cloud, one)
    assert found.user_data == b"\x00\xff"
    assert found.instance_initiated_shutdown_behavior == "stop"
    assert not found.disable_api_termination and not found.disable_api_stop
    assert found.instance.source_dest_check


def test_the_type_and_the_user_data_change_while_stopped_only(cloud):
    (one,) = cloud.run_ids()
    for attribute in (
        {"instance_type": "t2.large"},
        {"user_data": b"new"},
        {"ebs_optimized": True},
    ):
        assert error_of(modify, cloud, one, **attribute).kind is Kind.WRONG_STATE
    cloud.on("Stop", [one])
    cloud.converge()
    modify(cloud, one, instance_type="t2.large")
    modify(cloud, one, user_data=b"new")
    assert error_of(modify, cloud, one, instance_type="t9.huge").kind is Kind.INVALID
    cloud.on("Start", [one])
    cloud.converge()
    assert used(cloud)[0] == (2, 8192, 1)
    spec = cloud.host.specs[one]
    assert (spec.vcpus, spec.memory_mib, spec.metadata.user_data) == (2, 8192, b"new")


def test_attributes_that_the_host_must_know_are_sent(cloud):
    (one,) = cloud.run_ids()
    group = cloud.client("SecurityGroups").Create(
        networks_pb2.CreateSecurityGroupRequest(group_name="web", description="d"),
        caller=cloud.alice.caller(),
    )
    modify(cloud, one, source_dest_check=False)
    modify(cloud, one, security_groups=instances_pb2.GroupIds(group_ids=[group.group_id]))
    device = instances_pb2.BlockDeviceMapping(device_name="/dev/xvda", delete_on_termination=False)
    modify(cloud, one, delete_on_termination=instances_pb2.BlockDeviceDeletions(devices=[device]))
    cloud.converge()
    spec = cloud.host.specs[one]
    assert not spec.nics[0].source_dest_check
    assert spec.nics[0].security_group_ids == [group.group_id]
    assert not spec.disks[0].delete_on_termination
    assert spec.metadata.security_group_names == ["web"]
    assert cloud.states(one) == ["running"]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"instance_initiated_shutdown_behavior": "sleep"},
        {
            "delete_on_termination": instances_pb2.BlockDeviceDeletions(
                devices=[instances_pb2.BlockDeviceMapping(device_name="/dev/sdz")]
            )
        },
    ],
)
def test_attributes_that_cannot_be(cloud, wrong):
    (one,) = cloud.run_ids()
    assert error_of(modify, cloud, one, **wrong).kind is Kind.INVALID


def test_the_console_is_read_from_the_host(cloud):
    (one,) = cloud.run_ids()
    request = instances_pb2.InstanceRequest(instance_id=one)
    answer = cloud.instances.GetConsoleOutput(request, caller=cloud.alice.caller())
    assert (answer.output, answer.timestamp_ms) == (b"login: ", cloud.now_ms)
    bobs = error_of(cloud.instances.GetConsoleOutput, request, caller=cloud.bob.caller())
    assert bobs.kind is Kind.NOT_FOUND
    cloud.host.reachable = False
    away = error_of(cloud.instances.GetConsoleOutput, request, caller=cloud.alice.caller())
    assert away.kind is Kind.UNAVAILABLE
