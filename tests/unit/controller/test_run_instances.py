"""RunInstances: what it decides, what it refuses and with which words, and that a refusal leaves
nothing."""

import pytest

from controller.compute.types.catalogue import DEFAULT_TYPES
from controller.config import Config, RegionConfig, SchedulerConfig, Zone
from controller.kernel.call import system_call
from controller.tables.compute import Instance, InstanceType, Placement
from controller.tables.identity import Tag
from controller.tables.network import NetworkInterface
from controller.tables.storage import Image, Volume
from protos.cloud.v1 import common_pb2, instances_pb2, networks_pb2, quotas_pb2, volumes_pb2
from protos.errors import CloudError, Kind
from tests.unit.controller.cloud import DIGEST, IMAGE_ID, Cloud
from tests.unit.controller.obedient import told

Mapping = instances_pb2.BlockDeviceMapping


@pytest.fixture
def cloud(tmp_path):
    return Cloud(tmp_path)


def refusal(cloud, account=None, **more) -> CloudError:
    with pytest.raises(CloudError) as caught:
        cloud.run(account, **more)
    assert rows(cloud) == 0, "a refused launch leaves nothing"
    assert cloud.discrepancies() == []
    return caught.value


def rows(cloud) -> int:
    with cloud.db.read() as session:
        return sum(
            len(session.tuples(model.select()))
            for model in (Instance, Placement, Volume, NetworkInterface, Tag)
        )


def set_quota(cloud, name, limit, account=None):
    account = account or cloud.alice
    operator = cloud.alice.caller()
    cloud.client("Quotas").Set(
        quotas_pb2.SetQuotaRequest(account_id=account.account_id, name=name, limit=limit),
        caller=type(operator)(account_id=operator.account_id, operator=True),
    )


# --- what it decides ------------------------------------------------------------------------------


def test_the_answer_is_what_describe_says(cloud):
    tags = [common_pb2.Tag(key="Name", value="web")]
    reservation = cloud.run(
        min_count=2,
        max_count=2,
        user_data=b"#!/bin/sh",
        client_token="t",
        tag_specifications=[
            common_pb2.TagSpecification(resource_type=kind, tags=tags)
            for kind in ("instance", "volume", "network-interface")
        ],
    )
    described = cloud.instances.Describe(
        instances_pb2.DescribeInstancesRequest(), caller=cloud.alice.caller()
    ).reservations
    for one in (reservation, *described):  # Describe orders by id, and shows no tags of interfaces
        ordered = sorted(one.instances, key=lambda instance: instance.ami_launch_index)
        del one.instances[:]
        one.instances.extend(ordered)
        for instance in one.instances:
            for nic in instance.network_interfaces:
                del nic.tags[:]
    assert [*described] == [reservation]
    assert [one.ami_launch_index for one in reservation.instances] == [0, 1]
    first = reservation.instances[0]
    assert first.state == "pending"
    assert first.private_dns_name == f"ip-{first.private_ip_address.replace('.', '-')}.ec2.internal"
    assert first.public_ip_address.startswith("100.64.0.")
    assert [group.group_name for group in first.security_groups] == ["default"]
    assert first.network_interfaces[0].attachment.device_index == 0
    assert first.block_devices[0].status == "attaching"
    assert first.root_device_name == first.block_devices[0].device_name == "/dev/xvda"
    assert first.metadata_options.http_tokens == "optional"
    assert first.host_id == "", "which host it is on is the operator's to know"


def test_tags_go_to_the_instance_and_its_children(cloud):
    def specification(kind):
        tags = [common_pb2.Tag(key="for", value=kind)]
        return common_pb2.TagSpecification(resource_type=kind, tags=tags)

    kinds = ("instance", "volume", "network-interface")
    cloud.run(tag_specifications=map(specification, kinds))
    with cloud.db.read() as session:
        assert {(row.resource_type, row.value) for row in session.rows(Tag.select())} == {
            (kind, kind) for kind in kinds
        }


def test_the_spec_that_the_host_is_sent(cloud):
    reservation = cloud.run(
        user_data=b"\x00bytes",
        block_device_mappings=[
            Mapping(device_name="/dev/xvda", volume_size_gib=12),
            Mapping(device_name="/dev/sdf", volume_size_gib=3, delete_on_termination=False),
        ],
    )
    cloud.app.dispatch_pending()
    (sent,) = cloud.host.applied
    shown = reservation.instances[0]
    instance = told(sent, "instance")[shown.instance_id]
    nic = shown.network_interfaces[0]
    assert sent.base == 0
    assert instance.intent_revision == cloud.host.revisions[shown.instance_id] == 1
    assert (instance.vcpus, instance.memory_mib, instance.starts) == (1, 1024, 1)
    root, data = instance.disks
    assert (root.size_bytes, root.image.digest) == (12 << 30, DIGEST)
    assert root.image.disk_format == "qcow2"
    assert (data.size_bytes, data.HasField("image")) == (3 << 30, False)
    assert not data.delete_on_termination
    assert instance.nics[0].private_ip_address == nic.private_ip_address
    assert instance.nics[0].attachment_id == nic.attachment.attachment_id
    assert instance.metadata.user_data == b"\x00bytes"
    assert instance.metadata.reservation_id == reservation.reservation_id
    assert instance.metadata.availability_zone_id == "use1-az1"
    assert instance.metadata.security_group_names == ["default"]
    (vpc,) = told(sent, "vpc").values()
    assert vpc.account_id == cloud.alice.account_id
    assert vpc.cidr_blocks == ["172.31.0.0/16"]
    assert [(one.public_ip, one.private_ip) for one in vpc.public_addresses] == [
        (shown.public_ip_address, shown.private_ip_address)
    ]
    (group,) = vpc.security_groups
    assert group.member_addresses == [shown.private_ip_address]
    assert {rule.egress for rule in group.rules} == {True, False}


def test_as_many_as_fit_up_to_max_count(cloud):
    cloud.host.facts.disk_gib = 3
    cloud.host.heartbeat(facts=cloud.host.facts)
    assert len(cloud.run(min_count=1, max_count=5).instances) == 3
    assert cloud.discrepancies() == []


def test_as_many_as_the_quota_allows_up_to_max_count(cloud):
    set_quota(cloud, "vcpus", 2)
    assert len(cloud.run(min_count=1, max_count=5).instances) == 2
    assert cloud.discrepancies() == []


def test_a_launch_goes_to_one_zone_that_holds_enough(tmp_path):
    zones = (Zone("us-east-1a", "use1-az1"), Zone("us-east-1b", "use1-az2"))
    config = Config(state_dir=tmp_path, region=RegionConfig(zones=zones))
    cloud = Cloud(tmp_path, config=config, disk_gib=2)
    cloud.add_host(1, zone="us-east-1b", disk_gib=4)
    reservation = cloud.run(min_count=4, max_count=4)
    assert {one.availability_zone for one in reservation.instances} == {"us-east-1b"}
    assert len({one.subnet_id for one in reservation.instances}) == 1
    assert cloud.run(availability_zone="us-east-1a").instances[0].availability_zone == "us-east-1a"


def test_hints_of_the_scheduler(tmp_path):
    cloud = Cloud(tmp_path, hosts=3)
    first = cloud.run().instances[0].instance_id

    def host(reservation):
        with cloud.db.read() as session:
            query = Placement.select(Placement.host_id).where(
                Placement.instance_id == reservation.instances[0].instance_id
            )
            return session.value(query)

    def run(**hints):
        return host(cloud.run(scheduler_hints=hints))

    where = run(same_host=first)
    assert where == run(same_host=first)
    assert all(run(different_host=first) != where for _ in range(5))
    assert run(build_near_host_ip="192.0.2.200", cidr="/24")
    with pytest.raises(CloudError, match=r"3 hosts outside 198\.51\.100\.0/24"):
        run(build_near_host_ip="198.51.100.1", cidr="24")
    for wrong, kind in (
        ({"typo": "x"}, Kind.INVALID),
        ({"same_host": "i-00000000000000bad"}, Kind.NOT_FOUND),
        ({"build_near_host_ip": "x"}, Kind.INVALID),
    ):
        with pytest.raises(CloudError) as caught:
            run(**wrong)
        assert caught.value.kind is kind


def test_isolated_hosts_take_isolated_images_only(tmp_path):
    scheduler = SchedulerConfig(isolated_hosts=("host-0",))
    cloud = Cloud(tmp_path, config=Config(state_dir=tmp_path, scheduler=scheduler))
    assert "1 host kept for other images" in refusal(cloud).message


# --- client tokens --------------------------------------------------------------------------------


def test_one_token_is_one_launch_and_one_answer(cloud):
    first = cloud.run(client_token="once", min_count=2, max_count=2)
    again = cloud.run(client_token="once", min_count=2, max_count=2)
    assert again == first
    other = cloud.run(cloud.bob, client_token="once", min_count=2, max_count=2)
    assert other.reservation_id != first.reservation_id, "tokens are an account's own"


def test_a_token_with_another_request_is_refused(cloud):
    cloud.run(client_token="once")
    with pytest.raises(CloudError) as caught:
        cloud.run(client_token="once", instance_type="t2.nano")
    assert (caught.value.kind, caught.value.noun) == (Kind.EXISTS, "client-token")


def test_a_token_whose_instances_are_gone_is_refused(cloud):
    instance_id = cloud.run(client_token="once").instances[0].instance_id
    cloud.converge()
    cloud.on("Terminate", [instance_id])
    cloud.converge()
    with pytest.raises(CloudError) as caught:
        cloud.run(client_token="once")
    assert caught.value.reason == "terminated-client-token"


def test_a_token_stands_for_what_is_left_of_its_launch(cloud):
    asked = {"client_token": "once", "min_count": 2, "max_count": 2}
    first, second = (instance.instance_id for instance in cloud.run(**asked).instances)
    cloud.converge()
    cloud.on("Terminate", [first])
    cloud.converge()
    cloud.tasks(later_ms=cloud.config.instances.keep_terminated_ms + 1)
    again = cloud.run(**asked)
    assert [(one.instance_id, one.ami_launch_index) for one in again.instances] == [(second, 1)]
    cloud.on("Terminate", [second])
    cloud.converge()
    cloud.tasks(later_ms=cloud.config.instances.keep_terminated_ms + 1)
    cloud.converge()
    assert len(cloud.run(**asked).instances) == 2, "nothing is left that the token could mean"


def test_a_rehearsal_changes_nothing_and_does_not_use_up_the_token(cloud):
    with pytest.raises(CloudError) as caught:
        cloud.instances.Run(
            cloud.request(client_token="once"), caller=cloud.alice.caller(dry_run=True)
        )
    assert caught.value.kind is Kind.DRY_RUN
    assert rows(cloud) == 0
    assert cloud.app.dispatch_pending() == 0
    assert cloud.run(client_token="once", instance_type="t2.nano")


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "kind", "noun", "reason"),
    [
        ({"image_id": "ami-00000000000000bad"}, Kind.NOT_FOUND, "image", ""),
        ({"image_id": "ami-bad"}, Kind.MALFORMED_ID, "image", ""),
        ({"instance_type": "t9.huge"}, Kind.INVALID, "parameter", ""),
        ({"key_name": "none"}, Kind.NOT_FOUND, "key-pair", ""),
        ({"subnet_id": "subnet-00000000000000bad"}, Kind.NOT_FOUND, "subnet", ""),
        ({"security_group_ids": ["sg-00000000000000bad"]}, Kind.NOT_FOUND, "security-group", ""),
        ({"security_group_names": ["none"]}, Kind.NOT_FOUND, "security-group", ""),
        ({"availability_zone": "us-east-1x"}, Kind.INVALID, "availability-zone", ""),
        ({"min_count": 0}, Kind.INVALID, "parameter", ""),
        ({"min_count": 2}, Kind.INVALID, "parameter", ""),
        ({"max_count": 10_000}, Kind.QUOTA, "instance", ""),
        ({"user_data": b"x" * 16385}, Kind.INVALID, "parameter", ""),
        ({"client_token": "x" * 65}, Kind.INVALID, "parameter", ""),
        ({"instance_initiated_shutdown_behavior": "sleep"}, Kind.INVALID, "parameter", ""),
        ({"tenancy": "dedicated"}, Kind.UNSUPPORTED, "parameter", ""),
        (
            {"private_ip_address": "172.31.0.9", "max_count": 2},
            Kind.INVALID,
            "parameter",
            "parameter-combination",
        ),
        (
            {"metadata_options": instances_pb2.MetadataOptions(http_tokens="maybe")},
            Kind.INVALID,
            "parameter",
            "",
        ),
        (
            {"metadata_options": instances_pb2.MetadataOptions(http_put_response_hop_limit=65)},
            Kind.INVALID,
            "parameter",
            "",
        ),
        (
            {"tag_specifications": [common_pb2.TagSpecification(resource_type="subnet")]},
            Kind.INVALID,
            "tag",
            "",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_what_cannot_be_meant_is_refused_before_anything_is_made(cloud, wrong, kind, noun, reason):
    refused = refusal(cloud, **wrong)
    assert (refused.kind, refused.noun, refused.reason) == (kind, noun, reason)


@pytest.mark.parametrize(
    ("mapping", "kind", "reason"),
    [
        (Mapping(device_name="/dev/xvda", volume_size_gib=0), Kind.INVALID, "block-device-mapping"),
        (Mapping(device_name="/etc/passwd"), Kind.INVALID, "block-device-mapping"),
        (Mapping(volume_size_gib=8), Kind.INVALID, "missing-parameter"),
        (Mapping(device_name="/dev/sdf"), Kind.INVALID, "missing-parameter"),
        (Mapping(device_name="/dev/xvda", no_device=True), Kind.INVALID, "block-device-mapping"),
        (Mapping(device_name="/dev/xvda", volume_type="floppy"), Kind.INVALID, ""),
        (Mapping(device_name="/dev/xvda", encrypted=True), Kind.UNSUPPORTED, ""),
        (Mapping(device_name="/dev/sdf", snapshot_id="snap-1"), Kind.MALFORMED_ID, ""),
        (Mapping(device_name="/dev/sdf", snapshot_id="snap-12345678"), Kind.NOT_FOUND, ""),
        (Mapping(device_name="xvda", snapshot_id="snap-12345678"), Kind.NOT_FOUND, ""),
        (
            Mapping(device_name="/dev/sdf", volume_size_gib=1, volume_type="st1"),
            Kind.INVALID,
            "block-device-mapping",
        ),
        (
            Mapping(device_name="/dev/sdf", volume_size_gib=9, virtual_name="floppy0"),
            Kind.INVALID,
            "block-device-mapping",
        ),
    ],
)
def test_block_device_mappings_that_cannot_be(cloud, mapping, kind, reason):
    refused = refusal(cloud, block_device_mappings=[mapping])
    assert (refused.kind, refused.reason) == (kind, reason)


def test_a_root_disk_smaller_than_its_image_is_refused(cloud):
    with cloud.db.write(system_call(cloud.now_ms)) as tx:
        tx.advance(Image, {"virtual_size_bytes": 5 << 30}, Image.image_id == IMAGE_ID)
    mapping = Mapping(device_name="/dev/xvda", volume_size_gib=4)
    assert refusal(cloud, block_device_mappings=[mapping]).reason == "block-device-mapping"
    cloud.run()
    volumes = cloud.client("Volumes").Describe(
        volumes_pb2.DescribeVolumesRequest(), caller=cloud.alice.caller()
    )
    assert [volume.size_gib for volume in volumes.volumes] == [5]


def test_what_belongs_to_another_account_is_not_there(cloud):
    group = cloud.client("SecurityGroups").Create(
        networks_pb2.CreateSecurityGroupRequest(group_name="hers", description="d"),
        caller=cloud.alice.caller(),
    )
    subnet = cloud.run().instances[0].subnet_id
    for wrong in ({"security_group_ids": [group.group_id]}, {"subnet_id": subnet}):
        with pytest.raises(CloudError) as caught:
            cloud.run(cloud.bob, **wrong)
        assert caught.value.kind is Kind.NOT_FOUND


def test_no_capacity_says_why(tmp_path):
    cloud = Cloud(tmp_path, hosts=3)
    for host in list(cloud.hosts.values())[:2]:
        host.reachable = False
    cloud.now_ms += 20_000
    cloud.host.reachable = False
    list(cloud.hosts.values())[2].heartbeat()
    cloud.tasks()
    refused = refusal(cloud, instance_type="r5.24xlarge")
    assert (refused.kind, refused.noun) == (Kind.NO_CAPACITY, "instance")
    assert refused.message.endswith("2 hosts silent, 1 short of memory.")


def test_a_cloud_without_hosts_says_so(tmp_path):
    assert "no host has joined" in refusal(Cloud(tmp_path, hosts=0)).message


@pytest.mark.parametrize(
    ("name", "noun"), [("instances", "instance"), ("vcpus", "vcpus"), ("memory_mib", "memory")]
)
def test_each_quota_is_charged_and_named(cloud, name, noun):
    set_quota(cloud, name, 0)
    refused = refusal(cloud)
    assert (refused.kind, refused.noun) == (Kind.QUOTA, noun)
    cloud.run(cloud.bob)


def test_fewer_than_min_count_is_nothing(cloud):
    cloud.host.facts.disk_gib = 3
    cloud.host.heartbeat(facts=cloud.host.facts)
    assert refusal(cloud, min_count=4, max_count=9).kind is Kind.NO_CAPACITY


def test_the_catalogue_has_the_sizes_that_scripts_name(cloud):
    names = {one["name"] for one in DEFAULT_TYPES}
    assert {"t2.nano", "t2.micro", "t3.medium", "m5.large"} <= names
    with cloud.db.read() as session:
        assert {row.name for row in session.rows(InstanceType.select())} == names
