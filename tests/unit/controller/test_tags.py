"""CreateTags, DeleteTags, DescribeTags (traps 13, 36 to 39)."""

import pytest

from controller.tables.compute import Instance
from protos.cloud.v1 import keys_pb2, networks_pb2
from protos.cloud.v1 import tags_pb2 as pb
from protos.cloud.v1.common_pb2 import Tag
from protos.errors import Kind
from tests.unit.controller.refusals import refused
from tests.unit.controller.resource_world import ANN, BOB, World, filters, tags
from tests.unit.controller.test_key_formats import ED25519_FORMS


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def create(world, resource_ids, account_id=ANN, dry_run=False, **wanted):
    request = pb.CreateTagsRequest(resource_ids=resource_ids, tags=tags(**wanted))
    world.tags.Create(request, world.call(account_id, dry_run=dry_run))


def delete(world, resource_ids, *selectors):
    world.tags.Delete(pb.DeleteTagsRequest(resource_ids=resource_ids, tags=selectors), world.call())


def shown(world, account_id=ANN, **asked):
    answer = world.tags.Describe(pb.DescribeTagsRequest(**asked), world.call(account_id))
    return [(tag.resource_id, tag.key, tag.value) for tag in answer.tags]


def test_anything_with_an_id_can_be_tagged(world):
    (made,) = world.launch()
    networks, call = world.networks, world.call()
    (vpc,) = networks.DescribeVpcs(networks_pb2.DescribeVpcsRequest(), call).vpcs
    subnet = networks.DescribeSubnets(networks_pb2.DescribeSubnetsRequest(), call).subnets[0]
    (table,) = networks.DescribeRouteTables(
        networks_pb2.DescribeRouteTablesRequest(), call
    ).route_tables
    (gateway,) = networks.DescribeInternetGateways(
        networks_pb2.DescribeInternetGatewaysRequest(), call
    ).internet_gateways
    (acl,) = networks.DescribeNetworkAcls(
        networks_pb2.DescribeNetworkAclsRequest(), call
    ).network_acls
    (group,) = world.groups.Describe(networks_pb2.DescribeSecurityGroupsRequest(), call).groups
    address = world.addresses.Allocate(networks_pb2.AllocateAddressRequest(), call)
    pair = world.keys.Import(
        keys_pb2.ImportKeyPairRequest(key_name="k", public_key_material=ED25519_FORMS["line"]),
        call,
    )
    every = {
        made.instance_id: "instance",
        made.network_interface_id: "network-interface",
        vpc.vpc_id: "vpc",
        vpc.dhcp_options_id: "dhcp-options",
        subnet.subnet_id: "subnet",
        table.route_table_id: "route-table",
        gateway.internet_gateway_id: "internet-gateway",
        acl.network_acl_id: "network-acl",
        group.group_id: "security-group",
        group.rules[0].rule_id: "security-group-rule",
        address.allocation_id: "elastic-ip",
        pair.key_pair_id: "key-pair",
    }
    create(world, list(every), Name="x & <y>")
    answer = world.tags.Describe(pb.DescribeTagsRequest(), world.call())
    assert {tag.resource_id: tag.resource_type for tag in answer.tags} == every
    assert {tag.value for tag in answer.tags} == {"x & <y>"}
    (vpc,) = networks.DescribeVpcs(networks_pb2.DescribeVpcsRequest(), world.call()).vpcs
    assert list(vpc.tags) == [Tag(key="Name", value="x & <y>")]


def test_a_tag_is_overwritten_and_removed(world):
    vpc_id = world.default_vpc()
    create(world, [vpc_id, vpc_id], a="1", b="2", c="3")
    create(world, [vpc_id], a="4")
    delete(world, [vpc_id], pb.TagSelector(key="b"), pb.TagSelector(key="c", value="other"))
    assert shown(world) == [(vpc_id, "a", "4"), (vpc_id, "c", "3")]
    delete(world, [vpc_id], pb.TagSelector(key="c", value=""), pb.TagSelector(key="nobody"))
    assert (vpc_id, "c", "3") in shown(world)
    delete(world, [vpc_id])
    assert shown(world) == []


def test_none_is_tagged_where_one_cannot_be(world):
    mine, his = world.default_vpc(ANN), world.default_vpc(BOB)
    for wrong, kind, noun in (
        (his, Kind.NOT_FOUND, "vpc"),
        ("vpc-01234567", Kind.NOT_FOUND, "vpc"),
        ("i-01234567", Kind.NOT_FOUND, "instance"),
        ("nonsense", Kind.MALFORMED_ID, None),
        ("h-0123456789abcdef0", Kind.MALFORMED_ID, None),
        ("", Kind.INVALID, "parameter"),
    ):
        with refused(kind, noun):
            create(world, [mine, wrong], a="b")
        with refused(kind, noun):
            delete(world, [wrong])
    assert shown(world) == []
    for wanted in ({}, {"aws:x": "y"}):
        with refused(Kind.INVALID):
            create(world, [mine], **wanted)
    with refused(Kind.INVALID):
        create(world, [], a="b")
    create(world, [mine], dry_run=True, a="b")
    assert shown(world) == []


def test_at_most_fifty_on_one_resource(world):
    vpc_id = world.default_vpc()
    create(world, [vpc_id], **{f"k{number}": "" for number in range(50)})
    create(world, [vpc_id], k7="overwritten")
    with refused(Kind.QUOTA, "tag"):
        create(world, [vpc_id], one_more="")
    assert len(shown(world)) == 50


def test_filters(world):
    vpc_id, (made,) = world.default_vpc(), world.launch()
    create(world, [vpc_id], Name="web", team="a")
    create(world, [made.instance_id], Name="db", note="web")
    for wanted, count in (
        ({"key": "N*"}, 2),
        ({"value": "web"}, 2),
        ({"resource_id": vpc_id}, 2),
        ({"resource_type": "instance"}, 2),
        ({"tag__Name": "web"}, 1),
        ({"tag__Name": "*", "resource_type": "vpc"}, 1),
        ({"key": []}, 0),
        ({"value": ""}, 0),
    ):
        assert len(shown(world, filters=filters(**wanted))) == count, wanted
    with refused(Kind.INVALID):
        shown(world, filters=filters(tag_key="Name"))
    assert shown(world, BOB) == []


def test_pages_go_through_all_tags_once_whatever_changes_meanwhile(world):
    vpc_id, (made,) = world.default_vpc(), world.launch()
    for resource_id in (vpc_id, made.instance_id):
        create(world, [resource_id], **{f"k{number}": "" for number in range(6)})
    request, seen = pb.DescribeTagsRequest(page={"max_results": 5}), []
    while True:
        answer = world.tags.Describe(request, world.call())
        seen += [(tag.resource_id, tag.key) for tag in answer.tags]
        delete(world, [seen[0][0]], pb.TagSelector(key=seen[0][1]))
        if not answer.next_token:
            break
        request.page.next_token = answer.next_token
    assert len(seen) == len(set(seen)) == 12
    for token in ("nonsense", "MWk="):
        with refused(Kind.INVALID, reason="next-token"):
            shown(world, page={"next_token": token})


def test_a_guest_that_may_read_its_tags_is_told(world):
    world.add_host()
    reads, does_not = world.launch(2, host_id="h-1")
    with world.db.write(world.call()) as tx:
        tx.advance(
            Instance, {"metadata_tags": "enabled"}, Instance.instance_id == reads.instance_id
        )
    create(world, [does_not.instance_id], a="b")
    assert world.kicked == []
    create(world, [reads.instance_id, does_not.instance_id], a="b")
    assert world.kicked == ["h-1"]
    delete(world, [reads.instance_id])
    assert world.kicked == ["h-1", "h-1"]
