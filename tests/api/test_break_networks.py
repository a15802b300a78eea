"""VPCs and what is in them, asked for in ways that nobody should: once a wrong answer each."""

import pytest

from tests.api.asking import described, launch_one, refused


@pytest.fixture
def vpc_id(account):
    return account.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]


def test_a_token_has_64_letters_whatever_it_makes(account, vpc_id):
    ec2 = account.ec2
    subnet = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.0.0/24")["Subnet"]
    zone = subnet["AvailabilityZone"]
    for call, given in (
        (ec2.create_route_table, {"VpcId": vpc_id}),
        (ec2.create_network_interface, {"SubnetId": subnet["SubnetId"]}),
        (ec2.create_volume, {"AvailabilityZone": zone, "Size": 1}),
    ):
        for token in ("x" * 65, "é"):
            assert refused(call, **given, ClientToken=token) == "InvalidParameterValue"
        call(**given, ClientToken="x" * 64)


def test_the_metadata_services_range_is_led_nowhere(account, vpc_id):
    """EC2 User Guide, "Route table concepts": 169.254.168.0/22 is reserved."""
    ec2 = account.ec2
    gateway_id = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway_id, VpcId=vpc_id)
    table_id = ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"]
    given = {"RouteTableId": table_id, "GatewayId": gateway_id}
    for block in ("169.254.168.0/22", "169.254.169.254/32"):
        code = refused(ec2.create_route, **given, DestinationCidrBlock=block)
        assert code == "InvalidParameterValue"
    for block in ("169.254.0.0/16", "169.254.1.0/24"):
        ec2.create_route(**given, DestinationCidrBlock=block)


def test_a_type_that_cannot_have_the_instances_interfaces_is_refused(cloud, account):
    ec2 = account.ec2
    nics = [{"DeviceIndex": 0}, {"DeviceIndex": 1}, {"DeviceIndex": 2}]
    instance_id = launch_one(cloud, account, InstanceType="t2.small", NetworkInterfaces=nics)
    ec2.stop_instances(InstanceIds=[instance_id], Force=True)
    account.wait_for("stopped", instance_id)
    smaller = {"InstanceId": instance_id, "InstanceType": {"Value": "t2.nano"}}
    assert refused(ec2.modify_instance_attribute, **smaller) == "AttachmentLimitExceeded"
    one, _, other = described(account, instance_id)["NetworkInterfaces"]
    ec2.detach_network_interface(AttachmentId=other["Attachment"]["AttachmentId"])
    more = {"NetworkInterfaceId": one["NetworkInterfaceId"], "SecondaryPrivateIpAddressCount": 2}
    ec2.assign_private_ip_addresses(**more)
    assert refused(ec2.modify_instance_attribute, **smaller) == "PrivateIpAddressLimitExceeded"
    assert described(account, instance_id)["InstanceType"] == "t2.small"


@pytest.mark.parametrize(
    ("call", "member", "identifier", "message"),
    [
        (
            "disassociate_route_table",
            "AssociationId",
            "rtbassoc-0123456789abcdef0",
            "The association ID '{}' does not exist",
        ),
        (
            "detach_network_interface",
            "AttachmentId",
            "eni-attach-0123456789abcdef0",
            "The interface attachment ID '{}' does not exist",
        ),
        (
            "delete_dhcp_options",
            "DhcpOptionsId",
            "dopt-0123456789abcdef0",
            "The dhcpOptions ID '{}' does not exist",
        ),
    ],
)
def test_what_is_not_there_is_called_as_ec2_does(account, call, member, identifier, message):
    with pytest.raises(account.ec2.exceptions.ClientError) as failure:
        getattr(account.ec2, call)(**{member: identifier})
    assert failure.value.response["Error"]["Message"] == message.format(identifier)
