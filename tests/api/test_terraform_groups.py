"""aws_security_group, its rules in both of the provider's ways, aws_key_pair and aws_eip in the
order of calls of Terraform's AWS provider: create, refresh with no difference, change, refresh,
destroy.

From terraform-provider-aws, internal/service/ec2 (vpc_security_group, vpc_security_group_rule,
vpc_security_group_ingress_rule, ec2_key_pair, ec2_eip).
"""

import pytest

from tests.api.asking import described, found, launch_one, public_key, refused, the_one

HTTPS = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
EVERYTHING_OUT = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


def tagged(kind: str, name: str) -> list[dict]:
    return [{"ResourceType": kind, "Tags": [{"Key": "Name", "Value": name}]}]


@pytest.fixture
def group(account) -> str:
    """resourceSecurityGroupCreate: made, and the rule that EC2 adds taken away."""
    vpc = the_one(account.ec2.describe_vpcs()["Vpcs"])["VpcId"]
    made = account.ec2.create_security_group(
        GroupName="terraform-2026",
        Description="Managed by Terraform",
        VpcId=vpc,
        TagSpecifications=tagged("security-group", "web"),
    )
    account.ec2.revoke_security_group_egress(
        GroupId=made["GroupId"], IpPermissions=[EVERYTHING_OUT]
    )
    return made["GroupId"]


def read_group(ec2, group_id: str) -> dict:
    return the_one(ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"])


def read_rule(ec2, rule_id: str) -> dict:
    found = ec2.describe_security_group_rules(SecurityGroupRuleIds=[rule_id])
    return the_one(found["SecurityGroupRules"])


def test_aws_security_group(account, group):
    ec2 = account.ec2
    empty = read_group(ec2, group)
    assert (empty["IpPermissions"], empty["IpPermissionsEgress"]) == ([], [])
    first = {**HTTPS, "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "inside"}]}
    second = {**HTTPS, "FromPort": 80, "ToPort": 80, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[first])
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[EVERYTHING_OUT])
    state = read_group(ec2, group)
    assert the_one(state["IpPermissions"])["IpRanges"] == first["IpRanges"]
    assert read_group(ec2, group) == state

    # Changed: the provider takes away what is not declared any more, then adds what is new.
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[first])
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[second])
    ec2.create_tags(Resources=[group], Tags=[{"Key": "Name", "Value": "changed"}])
    changed = read_group(ec2, group)
    shown = the_one(changed["IpPermissions"])
    assert (shown["FromPort"], shown["Ipv6Ranges"]) == (80, [{"CidrIpv6": "::/0"}])
    assert changed["Tags"] == [{"Key": "Name", "Value": "changed"}]
    same = ("GroupId", "GroupName", "Description", "VpcId", "OwnerId", "IpPermissionsEgress")
    assert [changed[name] for name in same] == [state[name] for name in same]
    assert read_group(ec2, group) == changed

    ec2.delete_security_group(GroupId=group)
    gone = refused(ec2.describe_security_groups, GroupIds=[group])
    assert gone == "InvalidGroup.NotFound"


def test_aws_security_group_rule_is_described_anew(account, group):
    """The older resource: a rule is what it says; only its description changes in place."""
    ec2 = account.ec2
    ranges = [{"CidrIp": "192.0.2.0/24", "Description": "one"}, {"CidrIp": "198.51.100.0/24"}]
    ec2.authorize_security_group_ingress(
        GroupId=group, IpPermissions=[{**HTTPS, "IpRanges": ranges}]
    )
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[EVERYTHING_OUT])
    anew = [{**ranges[0], "Description": "two"}]
    ec2.update_security_group_rule_descriptions_ingress(
        GroupId=group, IpPermissions=[{**HTTPS, "IpRanges": anew}]
    )
    everywhere = [{"CidrIp": "0.0.0.0/0", "Description": "out"}]
    ec2.update_security_group_rule_descriptions_egress(
        GroupId=group, IpPermissions=[{**EVERYTHING_OUT, "IpRanges": everywhere}]
    )
    state = read_group(ec2, group)
    assert the_one(state["IpPermissions"])["IpRanges"] == [anew[0], ranges[1]]
    assert the_one(state["IpPermissionsEgress"])["IpRanges"] == everywhere
    found = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
    described_as = {
        each.get("CidrIpv4"): each.get("Description") for each in found["SecurityGroupRules"]
    }
    assert described_as == {"192.0.2.0/24": "two", "198.51.100.0/24": None, "0.0.0.0/0": "out"}
    missing = [{**HTTPS, "IpRanges": [{"CidrIp": "203.0.113.0/24"}]}]
    update = ec2.update_security_group_rule_descriptions_ingress
    assert refused(update, GroupId=group, IpPermissions=missing) == "InvalidPermission.NotFound"
    assert refused(update, GroupId=group) == "MissingParameter"
    by_id = {each["CidrIpv4"]: each["SecurityGroupRuleId"] for each in found["SecurityGroupRules"]}[
        "192.0.2.0/24"
    ]
    update(GroupId=group, SecurityGroupRuleDescriptions=[{"SecurityGroupRuleId": by_id}])
    assert "Description" not in read_rule(ec2, by_id)
    assert read_group(ec2, group)["IpPermissions"][0]["IpRanges"][0] == {"CidrIp": "192.0.2.0/24"}


def test_aws_vpc_security_group_ingress_rule_is_modified(account, group):
    """The newer resource: a rule is its id, and all of its contents change in place."""
    ec2 = account.ec2
    made = the_one(
        ec2.authorize_security_group_ingress(
            GroupId=group,
            IpPermissions=[{**HTTPS, "IpRanges": [{"CidrIp": "192.0.2.0/24"}]}],
            TagSpecifications=tagged("security-group-rule", "https"),
        )["SecurityGroupRules"]
    )
    rule_id = made["SecurityGroupRuleId"]
    assert read_rule(ec2, rule_id) == made

    def modify(**contents) -> None:
        update = {"SecurityGroupRuleId": rule_id, "SecurityGroupRule": contents}
        ec2.modify_security_group_rules(GroupId=group, SecurityGroupRules=[update])

    wider = {"IpProtocol": "tcp", "FromPort": 8000, "ToPort": 8080, "Description": "more"}
    modify(**wider, CidrIpv4="10.0.0.0/8")
    assert read_rule(ec2, rule_id) == {**made, **wider, "CidrIpv4": "10.0.0.0/8"}
    modify(**wider, ReferencedGroupId=group)
    seen = read_rule(ec2, rule_id)
    assert seen["ReferencedGroupInfo"] == {"GroupId": group, "UserId": account.account_id}
    assert "CidrIpv4" not in seen
    pair = the_one(the_one(read_group(ec2, group)["IpPermissions"])["UserIdGroupPairs"])
    assert (pair["GroupId"], pair["Description"]) == (group, "more")
    modify(IpProtocol="-1", CidrIpv6="::/0")
    seen = read_rule(ec2, rule_id)
    assert (seen["IpProtocol"], seen["FromPort"], seen["CidrIpv6"]) == ("-1", -1, "::/0")
    assert "Description" not in seen
    assert (seen["Tags"], seen["IsEgress"]) == (made["Tags"], False)

    twice = [{"SecurityGroupRuleId": rule_id, "SecurityGroupRule": wider}]
    call = ec2.modify_security_group_rules
    assert refused(call, GroupId=group, SecurityGroupRules=twice) == "MissingParameter"
    both = {**wider, "CidrIpv4": "10.0.0.0/8", "CidrIpv6": "::/0"}
    twice = [{"SecurityGroupRuleId": rule_id, "SecurityGroupRule": both}]
    refusal = refused(call, GroupId=group, SecurityGroupRules=twice)
    assert refusal == "InvalidParameterCombination"
    assert read_rule(ec2, rule_id) == seen

    ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[rule_id])
    gone = refused(ec2.describe_security_group_rules, SecurityGroupRuleIds=[rule_id])
    assert gone == "InvalidSecurityGroupRuleId.NotFound"


def test_aws_vpc_security_group_egress_rule_is_modified(account, group):
    ec2 = account.ec2
    made = the_one(
        ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[EVERYTHING_OUT])[
            "SecurityGroupRules"
        ]
    )
    contents = {"IpProtocol": "udp", "FromPort": 53, "ToPort": 53, "CidrIpv4": "192.0.2.0/24"}
    update = {
        "SecurityGroupRuleId": made["SecurityGroupRuleId"],
        "SecurityGroupRule": contents,
    }
    ec2.modify_security_group_rules(GroupId=group, SecurityGroupRules=[update])
    assert read_rule(ec2, made["SecurityGroupRuleId"]) == {**made, **contents}
    assert the_one(read_group(ec2, group)["IpPermissionsEgress"])["FromPort"] == 53


def test_aws_key_pair_keeps_its_id_when_its_tags_change(account):
    ec2 = account.ec2
    made = ec2.import_key_pair(
        KeyName="deployer",
        PublicKeyMaterial=public_key(),
        TagSpecifications=tagged("key-pair", "one"),
    )

    def read() -> dict:
        found = ec2.describe_key_pairs(KeyNames=["deployer"], IncludePublicKey=True)
        return the_one(found["KeyPairs"])

    state = read()
    assert read() == state
    assert (state["KeyPairId"], state["KeyType"]) == (made["KeyPairId"], "ed25519")
    ec2.create_tags(Resources=[made["KeyPairId"]], Tags=[{"Key": "Stage", "Value": "test"}])
    ec2.delete_tags(Resources=[made["KeyPairId"]], Tags=[{"Key": "Name"}])
    assert read() == {**state, "Tags": [{"Key": "Stage", "Value": "test"}]}
    found = ec2.describe_key_pairs(KeyPairIds=[made["KeyPairId"]], IncludePublicKey=True)
    assert the_one(found["KeyPairs"]) == read()
    ec2.delete_key_pair(KeyName="deployer")
    assert refused(ec2.describe_key_pairs, KeyNames=["deployer"]) == "InvalidKeyPair.NotFound"


def test_aws_eip_moves_from_an_instance_to_an_interface(cloud, account):
    ec2 = account.ec2
    instance = launch_one(cloud, account)
    made = ec2.allocate_address(Domain="vpc", TagSpecifications=tagged("elastic-ip", "one"))
    allocation = made["AllocationId"]

    def read() -> dict:
        attribute = ec2.describe_addresses_attribute(
            AllocationIds=[allocation], Attribute="domain-name"
        )
        assert attribute["Addresses"] == []  # those that have a name in the reverse zone
        return the_one(ec2.describe_addresses(AllocationIds=[allocation])["Addresses"])

    state = read()
    assert read() == state
    assert not {"AssociationId", "InstanceId", "NetworkInterfaceId"} & state.keys()
    first = ec2.associate_address(AllocationId=allocation, InstanceId=instance)["AssociationId"]
    associated = read()
    assert (associated["AssociationId"], associated["InstanceId"]) == (first, instance)
    assert described(account, instance)["PublicIpAddress"] == made["PublicIp"]
    for name, value in (("allocation_id", allocation), ("association_id", first)):
        for where in ("network_interface", "network_interface.addresses"):
            assert found(account, **{f"{where}.association.{name}": [value]}) == {instance}
    assert read() == associated

    ec2.create_tags(Resources=[allocation], Tags=[{"Key": "Name", "Value": "two"}])
    assert read() == {**associated, "Tags": [{"Key": "Name", "Value": "two"}]}
    subnet = described(account, instance)["SubnetId"]
    nic = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]
    ec2.disassociate_address(AssociationId=first)
    assert described(account, instance)["PublicIpAddress"] != made["PublicIp"]  # lent another
    second = ec2.associate_address(
        AllocationId=allocation, NetworkInterfaceId=nic["NetworkInterfaceId"]
    )["AssociationId"]
    moved = read()
    assert moved["NetworkInterfaceId"] == nic["NetworkInterfaceId"]
    assert (moved["AssociationId"], moved["PrivateIpAddress"]) == (second, nic["PrivateIpAddress"])
    assert "InstanceId" not in moved
    ec2.disassociate_address(AssociationId=second)
    assert read() == {**state, "Tags": [{"Key": "Name", "Value": "two"}]}
    ec2.delete_network_interface(NetworkInterfaceId=nic["NetworkInterfaceId"])
    ec2.release_address(AllocationId=allocation)
    gone = refused(ec2.describe_addresses, AllocationIds=[allocation])
    assert gone == "InvalidAllocationID.NotFound"
