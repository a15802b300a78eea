"""DescribeInstances, DescribeInstanceStatus, DescribeVolumes and the types: filters, pages, ids."""

from contextlib import contextmanager

import pytest

from controller.compute.instances import status_checks as checks
from controller.kernel.call import system_call
from controller.tables.compute import Placement
from controller.tables.hosts import Host
from protos.cloud.v1 import common_pb2, fleet_pb2, instances_pb2, volumes_pb2
from protos.errors import Kind
from tests.unit.controller.cloud import IMAGE_ID, Cloud
from tests.unit.controller.refusals import error_of

Filter = common_pb2.Filter


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """Three of alice's (running "web", stopped "db", pending), one of bob's."""
    made = Cloud(tmp_path_factory.mktemp("cloud"))
    made.web = made.run_ids(
        client_token="t-web", tag_specifications=[tagged("web")], user_data=b"x"
    )[0]
    made.db_one = made.run_ids(instance_type="t2.small", tag_specifications=[tagged("db*")])[0]
    made.on("Stop", [made.db_one])
    made.converge()
    made.host.obeys = False
    made.new = made.run(disable_api_stop=True).instances[0].instance_id
    made.bobs = made.run(made.bob).instances[0].instance_id
    return made


def tagged(name):
    tags = [common_pb2.Tag(key="Name", value=name)]
    return common_pb2.TagSpecification(resource_type="instance", tags=tags)


def ask(cloud, method="Describe", request=instances_pb2.DescribeInstancesRequest, **fields):
    return getattr(cloud.instances, method)(request(**fields), caller=cloud.alice.caller())


def found(cloud, *filters) -> set[str]:
    wanted = [Filter(name=name, values=values) for name, *values in filters]
    answer = ask(cloud, filters=wanted)
    return {one.instance_id for res in answer.reservations for one in res.instances}


def test_filters(cloud):
    web, db, new = cloud.web, cloud.db_one, cloud.new
    shown = {one.instance_id: one for one in cloud.describe()}
    first = shown[web]
    nic = first.network_interfaces[0]
    every = {web, db, new}
    for pairs, expected in (
        ([], every),
        ([("instance-id", web)], {web}),
        ([("instance-id", web, db)], {web, db}),
        ([("instance-state-name", "running")], {web}),
        ([("instance-state-name", "stop*", "pending")], {db, new}),
        ([("instance-state-code", "80")], {db}),
        ([("instance-type", "t2.*")], every),
        ([("instance-type", "t2.small")], {db}),
        ([("tag:Name", "web")], {web}),
        ([("tag:Name", "d?*")], {db}),
        ([("tag:Name", r"db\*")], {db}),
        ([("tag-key", "Name")], {web, db}),
        ([("image-id", IMAGE_ID), ("client-token", "t-web")], {web}),
        ([("private-ip-address", first.private_ip_address)], {web}),
        ([("private-dns-name", first.private_dns_name)], {web}),
        ([("private-dns-name", "ip-172-31-*")], every),
        ([("ip-address", first.public_ip_address)], {web}),
        ([("dns-name", first.public_dns_name)], {web}),
        ([("vpc-id", first.vpc_id)], every),
        ([("subnet-id", first.subnet_id)], every),
        ([("instance.group-name", "default")], every),
        ([("instance.group-id", first.security_groups[0].group_id)], every),
        ([("network-interface.network-interface-id", nic.network_interface_id)], {web}),
        ([("network-interface.attachment.device-index", "0")], every),
        ([("network-interface.addresses.association.public-ip", first.public_ip_address)], {web}),
        ([("block-device-mapping.volume-id", first.block_devices[0].volume_id)], {web}),
        ([("block-device-mapping.status", "attaching")], {new}),
        ([("block-device-mapping.delete-on-termination", "true")], every),
        ([("reservation-id", first.reservation_id)], {web}),
        ([("availability-zone", "us-east-1?")], every),
        ([("launch-index", "0")], every),
        ([("launch-time", "20*")], every),
        ([("monitoring-state", "disabled")], every),
        ([("source-dest-check", "true")], every),
        ([("state-reason-code", "Client.*")], {db}),
        ([("metadata-options.http-tokens", "required")], set()),
        ([("tenancy", "default"), ("root-device-type", "ebs")], every),
        ([("architecture", "x86_64"), ("virtualization-type", "hvm")], every),
        ([("instance-lifecycle", "spot")], set()),
        ([("availability-zone-id", "use1-az1"), ("platform-details", "Linux*")], every),
        ([("availability-zone-id", "use1-az9")], set()),
        ([("enclave-options.enabled", "true")], set()),
        ([("iam-instance-profile.arn", "*")], set()),
        ([("network-interface.private-ip-address", first.private_ip_address)], {web}),
        ([("network-interface.addresses.private-dns-name", first.private_dns_name)], {web}),
        ([("network-interface.public-dns-name", first.public_dns_name)], {web}),
        ([("network-interface.association.public-dns-name", "ec2-9-9-9-9*")], set()),
        ([("network-interface.association.allocation-id", "*")], set()),
        ([("network-interface.addresses.association.association-id", "eipassoc-*")], set()),
        ([("network-interface.tag-key", "*")], set()),
        ([("network-interface.attachment.network-card-index", "0")], every),
        ([("metadata-options.http-protocol-ipv4", "enabled")], every),
        ([("usage-operation-update-time", "20*")], every),
        ([("owner-id", cloud.bob.account_id)], set()),
        ([("instance-id",)], set()),
    ):
        assert found(cloud, *pairs) == expected, pairs
    assert "is invalid" in error_of(found, cloud, ("colour", "red")).message


def test_ids_that_are_not_there_are_errors_even_beside_filters(cloud):
    missing = error_of(ask, cloud, instance_ids=["i-00000000000000bad"])
    assert (missing.kind, missing.noun) == (Kind.NOT_FOUND, "instance")
    assert missing.message == "The instance ID 'i-00000000000000bad' does not exist"
    assert error_of(ask, cloud, instance_ids=["i-x"]).kind is Kind.MALFORMED_ID
    assert error_of(ask, cloud, instance_ids=[cloud.bobs]).kind is Kind.NOT_FOUND
    nothing = [Filter(name="instance-type", values=["m5.large"])]
    assert not ask(cloud, instance_ids=[cloud.web], filters=nothing).reservations


def test_no_reservation_without_an_instance(cloud):
    wanted = [Filter(name="instance-state-name", values=["running"])]
    (reservation,) = ask(cloud, filters=wanted).reservations
    assert len(reservation.instances) == 1


def test_the_operator_sees_where_an_instance_is(cloud):
    caller = type(cloud.alice.caller())(account_id=cloud.alice.account_id, operator=True)
    answer = cloud.instances.Describe(
        instances_pb2.DescribeInstancesRequest(instance_ids=[cloud.web]), caller=caller
    )
    assert answer.reservations[0].instances[0].host_id == cloud.host.host_id


# --- status checks --------------------------------------------------------------------------------


def statuses(cloud, **fields):
    request = instances_pb2.DescribeInstanceStatusRequest
    return {
        one.instance_id: one for one in ask(cloud, "DescribeStatus", request, **fields).statuses
    }


def test_statuses_of_running_instances_and_of_all(cloud):
    assert {key: one.system_status for key, one in statuses(cloud).items()} == {cloud.web: "ok"}
    every = statuses(cloud, include_all_instances=True)
    assert {key: one.instance_status for key, one in every.items()} == {
        cloud.web: "ok",
        cloud.db_one: "not-applicable",
        cloud.new: "not-applicable",
    }
    for name, value, expected in (
        ("instance-status.status", "ok", {cloud.web}),
        ("availability-zone-id", "use1-az1", set(every)),
        ("event.code", "*", set()),
    ):
        wanted = [Filter(name=name, values=[value])]
        shown = statuses(cloud, include_all_instances=True, filters=wanted)
        assert set(shown) == expected, name


def test_silence_shows_in_the_checks_only(tmp_path):
    cloud = Cloud(tmp_path)
    (one,) = cloud.run_ids()
    seen = cloud.now_ms
    cloud.tasks(16_000)
    status = statuses(cloud)[one]
    assert (status.system_status, status.instance_status) == ("insufficient-data",) * 2
    cloud.tasks(60_000)
    status = statuses(cloud)[one]
    assert (status.system_status, status.instance_status) == ("impaired",) * 2
    assert status.system_impaired_since_ms == status.instance_impaired_since_ms == seen
    assert status.state == "running"


def test_an_instance_initializes_until_its_guest_answers(tmp_path):
    cloud = Cloud(tmp_path)
    (one,) = cloud.run_ids()

    def see(check: int, after_ms: int = 1_000) -> instances_pb2.InstanceStatus:
        cloud.now_ms += after_ms
        cloud.host.see(one, fleet_pb2.OBSERVED_RUNNING, status_check=check)
        cloud.host.heartbeat()
        return statuses(cloud)[one]

    for check, word in (
        (fleet_pb2.INITIALIZING, "initializing"),
        (fleet_pb2.CHECK_PASSED, "ok"),
        (fleet_pb2.CHECK_FAILED, "impaired"),
        (fleet_pb2.NOT_CHECKED, "insufficient-data"),
    ):
        status = see(check)
        assert (status.instance_status, status.system_status) == (word, "ok")
        since = cloud.now_ms if word == "impaired" else 0
        assert (status.instance_impaired_since_ms, status.system_impaired_since_ms) == (since, 0)
    assert see(fleet_pb2.CHECK_PASSED).instance_status == "ok"
    cloud.host.see(one, fleet_pb2.STOPPING)
    cloud.host.heartbeat()
    assert statuses(cloud) == {}


STATUS_WORDS = ("ok", "initializing", "impaired", "insufficient-data", "not-applicable")
DETAIL_WORDS = ("passed", "initializing", "failed", "insufficient-data")


@pytest.mark.parametrize("guest_check", checks.INSTANCE)
@pytest.mark.parametrize("health", checks.SYSTEM)
def test_filters_by_status_show_what_the_answer_says(cloud, health, guest_check):
    """Each word, for each pair of columns, finds just those that show it."""
    with _checked_as(cloud, health, guest_check):
        every = statuses(cloud, include_all_instances=True)
        for check, shown in (
            ("instance-status", {key: one.instance_status for key, one in every.items()}),
            ("system-status", {key: one.system_status for key, one in every.items()}),
        ):
            for word in STATUS_WORDS:
                expected = {key for key, status in shown.items() if status == word}
                assert _with(cloud, f"{check}.status", word) == expected, word
            for word in DETAIL_WORDS:
                expected = {key for key, status in shown.items() if _detail(status) == word}
                assert _with(cloud, f"{check}.reachability", word) == expected, word


@contextmanager
def _checked_as(cloud, health: str, guest_check: str):
    """The running instance and its host so, for a while."""

    def become(health: str, guest_check: str) -> None:
        with cloud.db.write(system_call(cloud.now_ms)) as tx:
            tx.advance(Placement, {"status_check": guest_check}, Placement.instance_id == cloud.web)
            tx.advance(Host, {"health": health}, Host.host_id == cloud.host.host_id)

    become(health, guest_check)
    try:
        yield
    finally:
        become("up", "passed")


def _with(cloud, name: str, word: str) -> set[str]:
    named = [Filter(name=name, values=[word])]
    return set(statuses(cloud, include_all_instances=True, filters=named))


def _detail(status: str) -> str:
    """As EC2 words it."""
    return {"ok": "passed", "impaired": "failed"}.get(status, status)


# --- volumes --------------------------------------------------------------------------------------


def volumes(cloud, *filters, **fields):
    wanted = [Filter(name=name, values=values) for name, *values in filters]
    answer = cloud.client("Volumes").Describe(
        volumes_pb2.DescribeVolumesRequest(filters=wanted, **fields), caller=cloud.alice.caller()
    )
    return list(answer.volumes)


def test_root_disks_are_volumes(cloud):
    (one,) = volumes(cloud, ("attachment.instance-id", cloud.web))
    assert (one.state, one.size_gib, one.volume_type) == ("in-use", 1, "gp2")
    (attachment,) = one.attachments
    assert (attachment.state, attachment.device) == ("attached", "/dev/xvda")
    assert attachment.delete_on_termination
    assert len(volumes(cloud)) == 3
    assert len(volumes(cloud, ("attachment.status", "attaching"))) == 1
    assert volumes(cloud, ("status", "available")) == []
    assert [one.volume_id] == [v.volume_id for v in volumes(cloud, volume_ids=[one.volume_id])]
    assert error_of(volumes, cloud, volume_ids=["vol-00000000000000bad"]).noun == "volume"


# --- instance types -------------------------------------------------------------------------------


def types(cloud, **fields):
    return ask(cloud, "DescribeTypes", instances_pb2.DescribeInstanceTypesRequest, **fields)


def test_types_by_name_filter_and_page(cloud):
    (micro,) = types(cloud, names=["t2.micro"]).types
    assert (micro.vcpus, micro.memory_mib, micro.free_tier_eligible) == (1, 1024, True)
    assert error_of(types, cloud, names=["t9.huge"]).noun == "instance-type"
    free = types(cloud, filters=[Filter(name="free-tier-eligible", values=["true"])])
    assert {one.name for one in free.types} == {"t2.micro", "t3.micro"}
    metal = [Filter(name="bare-metal", values=["true"])]
    assert not types(cloud, names=["t2.micro"], filters=metal).types
    page, names = common_pb2.Page(max_results=10), []
    while True:
        answer = types(cloud, page=page)
        names += [one.name for one in answer.types]
        if not answer.next_token:
            break
        page.next_token = answer.next_token
    assert names == sorted(set(names)) and len(names) > 30


def test_offerings(cloud):
    def offered(**fields):
        request = instances_pb2.DescribeInstanceTypeOfferingsRequest
        return ask(cloud, "DescribeTypeOfferings", request, **fields).offerings

    wanted = [Filter(name="instance-type", values=["t2.micro"])]
    (one,) = offered(filters=wanted)
    assert (one.location_type, one.location) == ("region", "us-east-1")
    (one,) = offered(filters=wanted, location_type="availability-zone-id")
    assert one.location == "use1-az1"
    elsewhere = Filter(name="location", values=["eu-*"])
    assert not offered(filters=[*wanted, elsewhere])
    assert error_of(offered, location_type="planet").kind is Kind.INVALID
