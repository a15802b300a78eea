"""VPCs and what is in them, asked for in ways that nobody should: once a wrong answer each."""

import pytest

from tests.api.asking import refused


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
