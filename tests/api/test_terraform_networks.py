"""Networks of the tenant's own in the order of calls of Terraform's AWS provider: create, refresh
with no difference, change, refresh, destroy.

From terraform-provider-aws, internal/service/ec2 (vpc_, vpc_subnet, vpc_internet_gateway,
vpc_route_table, vpc_route_table_association, vpc_security_group).
"""

import pytest

from tests.api.asking import described, launch_one, refused, the_one

TAGS = [{"Key": "Name", "Value": "terraform"}]
ANYWHERE = "0.0.0.0/0"


def by(**filters) -> list[dict]:
    """by(vpc_id="vpc-..."): dots are written as two underscores."""
    return [
        {"Name": name.replace("__", ".").replace("_", "-"), "Values": [value]}
        for name, value in filters.items()
    ]


def tagged(kind: str) -> list[dict]:
    return [{"ResourceType": kind, "Tags": TAGS}]


def read_vpc(ec2, vpc_id: str) -> dict:
    """resourceVPCRead: all of it must find exactly one."""
    seen = {"vpc": the_one(ec2.describe_vpcs(VpcIds=[vpc_id])["Vpcs"])}
    for name in ("enableDnsSupport", "enableDnsHostnames", "enableNetworkAddressUsageMetrics"):
        answer = ec2.describe_vpc_attribute(VpcId=vpc_id, Attribute=name)
        seen[name] = answer[name[0].upper() + name[1:]]["Value"]
    acls = ec2.describe_network_acls(Filters=by(default="true", vpc_id=vpc_id))
    seen["acl"] = the_one(acls["NetworkAcls"])
    tables = ec2.describe_route_tables(Filters=by(association__main="true", vpc_id=vpc_id))
    seen["table"] = the_one(tables["RouteTables"])
    groups = ec2.describe_security_groups(Filters=by(group_name="default", vpc_id=vpc_id))
    seen["group"] = the_one(groups["SecurityGroups"])
    return seen


def make_vpc(ec2, block: str = "10.1.0.0/16") -> str:
    made = ec2.create_vpc(
        CidrBlock=block,
        InstanceTenancy="default",
        AmazonProvidedIpv6CidrBlock=False,
        TagSpecifications=tagged("vpc"),
    )
    return made["Vpc"]["VpcId"]


@pytest.fixture
def vpc(account) -> str:
    return make_vpc(account.ec2)


def test_aws_vpc(account):
    ec2 = account.ec2
    made = ec2.create_vpc(
        CidrBlock="10.1.7.9/16", InstanceTenancy="default", TagSpecifications=tagged("vpc")
    )["Vpc"]
    vpc_id = made["VpcId"]
    ec2.get_waiter("vpc_available").wait(VpcIds=[vpc_id])
    seen = read_vpc(ec2, vpc_id)
    assert seen["vpc"] == made == {**made, "CidrBlock": "10.1.0.0/16", "Tags": TAGS}
    assert (made["IsDefault"], made["InstanceTenancy"]) == (False, "default")
    assert the_one(made["CidrBlockAssociationSet"])["CidrBlock"] == "10.1.0.0/16"
    assert (seen["enableDnsSupport"], seen["enableDnsHostnames"]) == (True, False)
    assert seen["enableNetworkAddressUsageMetrics"] is False
    assert the_one(seen["table"]["Routes"])["GatewayId"] == "local"
    assert len(seen["acl"]["Entries"]) == 4
    own_rule = the_one(seen["group"]["IpPermissions"])
    assert the_one(own_rule["UserIdGroupPairs"])["GroupId"] == seen["group"]["GroupId"]
    assert the_one(seen["group"]["IpPermissionsEgress"])["IpRanges"] == [{"CidrIp": ANYWHERE}]
    assert read_vpc(ec2, vpc_id) == seen  # refreshed: no difference

    for name in ("EnableDnsHostnames", "EnableNetworkAddressUsageMetrics"):
        ec2.modify_vpc_attribute(VpcId=vpc_id, **{name: {"Value": True}})
    ec2.create_tags(Resources=[vpc_id], Tags=[{"Key": "Name", "Value": "changed"}])
    changed = read_vpc(ec2, vpc_id)
    assert (changed["enableDnsHostnames"], changed["enableDnsSupport"]) == (True, True)
    assert changed["vpc"]["Tags"] == [{"Key": "Name", "Value": "changed"}]

    ec2.delete_vpc(VpcId=vpc_id)
    assert refused(ec2.describe_vpcs, VpcIds=[vpc_id]) == "InvalidVpcID.NotFound"
    for describe, key in (
        (ec2.describe_network_acls, "NetworkAcls"),
        (ec2.describe_route_tables, "RouteTables"),
        (ec2.describe_security_groups, "SecurityGroups"),
    ):
        assert describe(Filters=by(vpc_id=vpc_id))[key] == []


def test_aws_subnet(account, vpc):
    ec2 = account.ec2
    made = ec2.create_subnet(
        VpcId=vpc,
        CidrBlock="10.1.1.0/24",
        AvailabilityZone="us-east-1a",
        TagSpecifications=tagged("subnet"),
    )["Subnet"]
    subnet_id = made["SubnetId"]
    ec2.get_waiter("subnet_available").wait(SubnetIds=[subnet_id])
    seen = the_one(ec2.describe_subnets(SubnetIds=[subnet_id])["Subnets"])
    assert seen == made
    for name, value in {
        "AvailableIpAddressCount": 251,
        "MapPublicIpOnLaunch": False,
        "DefaultForAz": False,
        "AvailabilityZoneId": "use1-az1",
        "AssignIpv6AddressOnCreation": False,
        "EnableDns64": False,
        "Ipv6Native": False,
        "MapCustomerOwnedIpOnLaunch": False,
        "Tags": TAGS,
    }.items():
        assert seen[name] == value, name
    assert seen["PrivateDnsNameOptionsOnLaunch"]["HostnameType"] == "ip-name"
    ec2.modify_subnet_attribute(SubnetId=subnet_id, MapPublicIpOnLaunch={"Value": True})
    seen = the_one(ec2.describe_subnets(SubnetIds=[subnet_id])["Subnets"])
    assert seen == {**made, "MapPublicIpOnLaunch": True}
    ec2.create_tags(Resources=[subnet_id], Tags=[{"Key": "Name", "Value": "changed"}])
    found = ec2.describe_subnets(Filters=by(vpc_id=vpc))["Subnets"]
    assert the_one(found) == {**seen, "Tags": [{"Key": "Name", "Value": "changed"}]}
    acl = the_one(ec2.describe_network_acls(Filters=by(vpc_id=vpc))["NetworkAcls"])
    assert the_one(acl["Associations"])["SubnetId"] == subnet_id

    assert refused(ec2.delete_vpc, VpcId=vpc) == "DependencyViolation"
    nics = ec2.describe_network_interfaces(Filters=by(subnet_id=subnet_id))
    assert nics["NetworkInterfaces"] == []
    ec2.delete_subnet(SubnetId=subnet_id)
    gone = refused(ec2.describe_subnets, SubnetIds=[subnet_id])
    assert gone == "InvalidSubnetID.NotFound"
    ec2.delete_vpc(VpcId=vpc)


def test_aws_internet_gateway(account, vpc):
    ec2 = account.ec2
    made = ec2.create_internet_gateway(TagSpecifications=tagged("internet-gateway"))
    gateway = made["InternetGateway"]["InternetGatewayId"]
    assert (made["InternetGateway"]["Attachments"], made["InternetGateway"]["Tags"]) == ([], TAGS)
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    found = ec2.describe_internet_gateways(InternetGatewayIds=[gateway])["InternetGateways"]
    attached = [{"VpcId": vpc, "State": "available"}]
    seen = the_one(found)
    assert seen == {**made["InternetGateway"], "Attachments": attached}
    found = ec2.describe_internet_gateways(Filters=by(attachment__vpc_id=vpc))["InternetGateways"]
    assert the_one(found) == seen  # refreshed: no difference

    # Changed: other tags, another VPC.
    changed = [{"Key": "Name", "Value": "changed"}]
    ec2.create_tags(Resources=[gateway], Tags=changed)
    other = make_vpc(ec2, "10.2.0.0/16")
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=other)
    found = ec2.describe_internet_gateways(InternetGatewayIds=[gateway])["InternetGateways"]
    moved = [{"VpcId": other, "State": "available"}]
    assert the_one(found) == {**seen, "Attachments": moved, "Tags": changed}
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=other)
    ec2.delete_vpc(VpcId=other)
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    again = refused(ec2.attach_internet_gateway, InternetGatewayId=gateway, VpcId=vpc)
    assert again == "Resource.AlreadyAssociated"
    assert refused(ec2.delete_internet_gateway, InternetGatewayId=gateway) == "DependencyViolation"
    assert refused(ec2.delete_vpc, VpcId=vpc) == "DependencyViolation"
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    found = ec2.describe_internet_gateways(InternetGatewayIds=[gateway])["InternetGateways"]
    assert the_one(found)["Attachments"] == []
    again = refused(ec2.detach_internet_gateway, InternetGatewayId=gateway, VpcId=vpc)
    assert again == "Gateway.NotAttached"
    ec2.delete_internet_gateway(InternetGatewayId=gateway)
    gone = refused(ec2.describe_internet_gateways, InternetGatewayIds=[gateway])
    assert gone == "InvalidInternetGatewayID.NotFound"
    ec2.delete_vpc(VpcId=vpc)


def read_table(ec2, table: str) -> dict:
    return the_one(ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"])


def shown_routes(table: dict) -> list[tuple]:
    """As resourceRouteTableRead flattens them: local ones are not the user's."""
    return [
        (route["DestinationCidrBlock"], route["GatewayId"], route["State"], route["Origin"])
        for route in table["Routes"]
        if route.get("GatewayId") != "local"
    ]


def test_aws_route_table_and_its_associations(account, vpc):
    ec2 = account.ec2
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.1.0/24")["Subnet"]["SubnetId"]
    asked = {"VpcId": vpc, "ClientToken": "tf-1", "TagSpecifications": tagged("route-table")}
    made = ec2.create_route_table(**asked)["RouteTable"]
    table = made["RouteTableId"]
    assert ec2.create_route_table(**asked)["RouteTable"] == made  # one token, one table
    assert read_table(ec2, table) == made
    assert (made["Associations"], made["PropagatingVgws"], made["Tags"]) == ([], [], TAGS)
    ec2.create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, GatewayId=gateway)
    outside = [(ANYWHERE, gateway, "active", "CreateRoute")]
    assert shown_routes(read_table(ec2, table)) == outside
    assert read_table(ec2, table) == read_table(ec2, table)  # refreshed: no difference
    ec2.create_tags(Resources=[table], Tags=[{"Key": "Name", "Value": "changed"}])
    assert read_table(ec2, table)["Tags"] == [{"Key": "Name", "Value": "changed"}]
    twice = {"RouteTableId": table, "DestinationCidrBlock": ANYWHERE, "GatewayId": gateway}
    assert refused(ec2.create_route, **twice) == "RouteAlreadyExists"

    associated = ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    assert associated["AssociationState"] == {"State": "associated"}
    first = associated["AssociationId"]
    found = ec2.describe_route_tables(Filters=by(association__route_table_association_id=first))
    use = the_one(the_one(found["RouteTables"])["Associations"])
    assert (use["SubnetId"], use["Main"], use["RouteTableId"]) == (subnet, False, table)
    assert use["AssociationState"] == {"State": "associated"}

    # Changed: another table, another route.
    other = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    clash = refused(ec2.associate_route_table, RouteTableId=other, SubnetId=subnet)
    assert clash == "Resource.AlreadyAssociated"
    replaced = ec2.replace_route_table_association(AssociationId=first, RouteTableId=other)
    assert replaced["NewAssociationId"] != first
    assert read_table(ec2, table)["Associations"] == []
    assert the_one(read_table(ec2, other)["Associations"])["SubnetId"] == subnet
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="192.0.2.9/24", GatewayId=gateway)
    ec2.delete_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE)
    changed = [("192.0.2.0/24", gateway, "active", "CreateRoute")]
    assert shown_routes(read_table(ec2, table)) == changed
    missing = refused(ec2.delete_route, RouteTableId=table, DestinationCidrBlock=ANYWHERE)
    assert missing == "InvalidRoute.NotFound"

    # Destroyed.
    assert refused(ec2.delete_route_table, RouteTableId=other) == "DependencyViolation"
    ec2.disassociate_route_table(AssociationId=replaced["NewAssociationId"])
    gone = refused(ec2.disassociate_route_table, AssociationId=replaced["NewAssociationId"])
    assert gone == "InvalidAssociationID.NotFound"
    assert refused(ec2.delete_vpc, VpcId=vpc) == "DependencyViolation"
    for one in (table, other):
        ec2.delete_route_table(RouteTableId=one)
        gone = refused(ec2.describe_route_tables, RouteTableIds=[one])
        assert gone == "InvalidRouteTableID.NotFound"


def test_aws_main_route_table_association(account, vpc):
    ec2 = account.ec2
    main = read_vpc(ec2, vpc)["table"]
    use = the_one(main["Associations"])
    assert use["Main"] is True
    assert "SubnetId" not in use
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    made = ec2.replace_route_table_association(
        AssociationId=use["RouteTableAssociationId"], RouteTableId=table
    )["NewAssociationId"]
    assert read_vpc(ec2, vpc)["table"]["RouteTableId"] == table
    assert refused(ec2.delete_route_table, RouteTableId=table) == "DependencyViolation"
    assert refused(ec2.disassociate_route_table, AssociationId=made) == "InvalidParameterValue"
    ec2.replace_route_table_association(AssociationId=made, RouteTableId=main["RouteTableId"])
    ec2.delete_route_table(RouteTableId=table)
    ec2.delete_vpc(VpcId=vpc)


def test_aws_security_group_in_a_vpc_of_its_own(cloud, account, vpc):
    ec2 = account.ec2
    group = ec2.create_security_group(
        GroupName="web", Description="Managed by Terraform", VpcId=vpc
    )["GroupId"]
    seen = the_one(ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"])
    assert seen["VpcId"] == vpc
    permission = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
    ranges = [{"CidrIp": "10.1.0.0/16"}]
    ec2.authorize_security_group_ingress(
        GroupId=group, IpPermissions=[{**permission, "IpRanges": ranges}]
    )
    rules = ec2.describe_security_group_rules(Filters=by(group_id=group))["SecurityGroupRules"]
    assert {rule["IsEgress"] for rule in rules} == {True, False}
    by_name = {"GroupName": "web", "IpPermissions": [{**permission, "IpRanges": ranges}]}
    assert refused(ec2.authorize_security_group_ingress, **by_name) == "InvalidGroup.NotFound"

    default = the_one(ec2.describe_vpcs(Filters=by(is_default="true"))["Vpcs"])["VpcId"]
    elsewhere = ec2.create_security_group(GroupName="web", Description="d", VpcId=default)
    pair = [{**permission, "UserIdGroupPairs": [{"GroupId": elsewhere["GroupId"]}]}]
    across = refused(ec2.authorize_security_group_ingress, GroupId=group, IpPermissions=pair)
    assert across == "InvalidGroup.NotFound"
    assert refused(ec2.delete_vpc, VpcId=vpc) == "DependencyViolation"

    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.1.0/24")["Subnet"]["SubnetId"]
    wrong = {"SubnetId": subnet, "SecurityGroupIds": [elsewhere["GroupId"]]}
    asked = {"ImageId": cloud.image_id, "MinCount": 1, "MaxCount": 1}
    assert refused(ec2.run_instances, **asked, **wrong) == "InvalidParameter"
    instance = launch_one(cloud, account, SubnetId=subnet, SecurityGroupIds=[group])
    seen = described(account, instance)
    assert (seen["VpcId"], seen["SubnetId"]) == (vpc, subnet)
    assert seen["PrivateIpAddress"].startswith("10.1.1.")
    assert "PublicIpAddress" not in seen
    assert refused(ec2.delete_security_group, GroupId=group) == "DependencyViolation"
    assert refused(ec2.delete_subnet, SubnetId=subnet) == "DependencyViolation"
    ec2.terminate_instances(InstanceIds=[instance])
    account.wait_for("terminated", instance)
    ec2.delete_security_group(GroupId=group)
    ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_vpc(VpcId=vpc)


def test_aws_eip_needs_a_gateway(cloud, account, vpc):
    ec2 = account.ec2
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.1.0/24")["Subnet"]["SubnetId"]
    instance = launch_one(cloud, account, SubnetId=subnet)
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    on_it = {"AllocationId": address, "InstanceId": instance}
    assert refused(ec2.associate_address, **on_it) == "Gateway.NotAttached"
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    there = {"InternetGatewayId": gateway, "VpcId": vpc}
    ec2.attach_internet_gateway(**there)
    association = ec2.associate_address(**on_it)["AssociationId"]
    assert refused(ec2.detach_internet_gateway, **there) == "DependencyViolation"
    ec2.disassociate_address(AssociationId=association)
    ec2.detach_internet_gateway(**there)
    ec2.release_address(AllocationId=address)


def test_aws_vpc_dhcp_options(account, vpc):
    ec2 = account.ec2
    wanted = [
        {"Key": "domain-name", "Values": ["example.com"]},
        {"Key": "domain-name-servers", "Values": ["192.0.2.1", "AmazonProvidedDNS"]},
    ]
    made = ec2.create_dhcp_options(
        DhcpConfigurations=wanted, TagSpecifications=tagged("dhcp-options")
    )["DhcpOptions"]
    options = made["DhcpOptionsId"]
    seen = the_one(ec2.describe_dhcp_options(DhcpOptionsIds=[options])["DhcpOptions"])
    assert seen == made
    assert seen["DhcpConfigurations"] == [
        {"Key": each["Key"], "Values": [{"Value": value} for value in each["Values"]]}
        for each in wanted
    ]
    before = the_one(ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"])["DhcpOptionsId"]
    ec2.associate_dhcp_options(DhcpOptionsId=options, VpcId=vpc)
    found = ec2.describe_vpcs(Filters=by(dhcp_options_id=options))["Vpcs"]
    assert the_one(found)["VpcId"] == vpc
    assert refused(ec2.delete_dhcp_options, DhcpOptionsId=options) == "DependencyViolation"
    ec2.associate_dhcp_options(DhcpOptionsId="default", VpcId=vpc)
    assert the_one(ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"])["DhcpOptionsId"] == before
    ec2.delete_dhcp_options(DhcpOptionsId=options)
    gone = refused(ec2.describe_dhcp_options, DhcpOptionsIds=[options])
    assert gone == "InvalidDhcpOptionID.NotFound"
    default = the_one(ec2.describe_dhcp_options(DhcpOptionsIds=[before])["DhcpOptions"])
    keys = [each["Key"] for each in default["DhcpConfigurations"]]
    assert keys == ["domain-name", "domain-name-servers"]


def test_a_dry_run_makes_nothing(account):
    ec2 = account.ec2
    before = len(ec2.describe_vpcs()["Vpcs"])
    asked = {"CidrBlock": "10.9.0.0/16", "DryRun": True}
    assert refused(ec2.create_vpc, **asked) == "DryRunOperation"
    assert len(ec2.describe_vpcs()["Vpcs"]) == before
