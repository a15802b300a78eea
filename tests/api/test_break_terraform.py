"""What Terraform's AWS provider calls, in its order, and what it reads of each answer.

From terraform-provider-aws, internal/service/ec2. A field that is not there makes the provider
panic or plan a change right after it applied one; a thing that cannot be found at once makes it
drop the resource from its state. So: after each write every describe shows it, whole.
"""

import base64

import pytest

from tests.api.asking import described, public_key, refused, the_one


def by(name, *values) -> dict:
    return {"Name": name, "Values": list(values)}


@pytest.fixture
def group(account) -> str:
    vpc = the_one(account.ec2.describe_vpcs(Filters=[by("is-default", "true")])["Vpcs"])
    made = account.ec2.create_security_group(
        GroupName="terraform-2026", Description="Managed by Terraform", VpcId=vpc["VpcId"]
    )
    return made["GroupId"]


def test_the_provider_starts(account):
    who = account.sts.get_caller_identity()
    assert who["Account"] == account.account_id
    assert who["Arn"].split(":")[4] == account.account_id
    platforms = account.ec2.describe_account_attributes(AttributeNames=["supported-platforms"])
    assert platforms["AccountAttributes"][0]["AttributeValues"] == [{"AttributeValue": "VPC"}]


def test_aws_key_pair(account):
    tags = [{"Key": "Name", "Value": "k"}]
    made = account.ec2.import_key_pair(
        KeyName="deployer",
        PublicKeyMaterial=public_key(),
        TagSpecifications=[{"ResourceType": "key-pair", "Tags": tags}],
    )
    seen = the_one(account.ec2.describe_key_pairs(KeyNames=["deployer"])["KeyPairs"])
    for field in ("KeyName", "KeyPairId", "KeyFingerprint"):
        assert seen[field] == made[field]
    assert (seen["KeyType"], seen["Tags"]) == ("ed25519", tags)
    account.ec2.delete_key_pair(KeyName="deployer")
    gone = refused(account.ec2.describe_key_pairs, KeyNames=["deployer"])
    assert gone == "InvalidKeyPair.NotFound"


def test_aws_security_group(account, group):
    ec2 = account.ec2
    seen = the_one(ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"])
    assert seen["SecurityGroupArn"].endswith(f"security-group/{group}")
    everything = {"IpProtocol": "-1", "FromPort": 0, "ToPort": 0}
    everywhere = {**everything, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    # The provider takes away the egress rule that EC2 makes, then makes what was declared.
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[everywhere])
    ingress = {
        "IpProtocol": "tcp",
        "FromPort": 22,
        "ToPort": 22,
        "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "ssh"}, {"CidrIp": "192.0.2.0/24"}],
        "UserIdGroupPairs": [{"GroupId": group, "Description": "self"}],
    }
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[ingress])
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[everywhere])

    seen = the_one(ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"])
    shown = the_one(seen["IpPermissions"])
    assert {name: shown[name] for name in ("IpProtocol", "FromPort", "ToPort", "IpRanges")} == {
        name: ingress[name] for name in ("IpProtocol", "FromPort", "ToPort", "IpRanges")
    }
    pair = the_one(shown["UserIdGroupPairs"])
    assert pair == {"GroupId": group, "UserId": account.account_id, "Description": "self"}
    assert the_one(seen["IpPermissionsEgress"])["IpRanges"] == [{"CidrIp": "0.0.0.0/0"}]

    # The delete: nobody's interface may have it; then it is not found.
    nics = ec2.describe_network_interfaces(Filters=[by("group-id", group)])
    assert nics["NetworkInterfaces"] == []
    ec2.delete_security_group(GroupId=group)
    gone = refused(ec2.describe_security_groups, GroupIds=[group])
    assert gone == "InvalidGroup.NotFound"


def test_aws_vpc_security_group_ingress_rule(account, group):
    ec2 = account.ec2
    made = the_one(
        ec2.authorize_security_group_ingress(
            GroupId=group,
            IpPermissions=[
                {
                    "IpProtocol": "tcp",
                    "FromPort": 80,
                    "ToPort": 80,
                    "IpRanges": [{"CidrIp": "192.0.2.0/24", "Description": "web"}],
                }
            ],
            TagSpecifications=[
                {"ResourceType": "security-group-rule", "Tags": [{"Key": "a", "Value": "b"}]}
            ],
        )["SecurityGroupRules"]
    )
    rule_id = made["SecurityGroupRuleId"]
    seen = the_one(
        ec2.describe_security_group_rules(SecurityGroupRuleIds=[rule_id])["SecurityGroupRules"]
    )
    assert seen == made
    for field, value in {
        "GroupId": group,
        "GroupOwnerId": account.account_id,
        "IsEgress": False,
        "CidrIpv4": "192.0.2.0/24",
        "Description": "web",
        "Tags": [{"Key": "a", "Value": "b"}],
    }.items():
        assert seen[field] == value
    assert seen["SecurityGroupRuleArn"].endswith(rule_id)
    ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[rule_id])
    gone = refused(ec2.describe_security_group_rules, SecurityGroupRuleIds=[rule_id])
    assert gone == "InvalidSecurityGroupRuleId.NotFound"


def test_aws_instance(cloud, account, group):
    ec2 = account.ec2
    ec2.import_key_pair(KeyName="deployer", PublicKeyMaterial=public_key())
    image = the_one(ec2.describe_images(ImageIds=[cloud.image_id])["Images"])
    subnet = the_one(ec2.describe_subnets(Filters=[by("default-for-az", "true")])["Subnets"])
    root = {"VolumeSize": 9, "VolumeType": "gp3", "Iops": 3000, "DeleteOnTermination": True}
    made = the_one(
        ec2.run_instances(
            ImageId=cloud.image_id,
            InstanceType="t2.micro",
            MinCount=1,
            MaxCount=1,
            KeyName="deployer",
            ClientToken="terraform-20260101",
            DisableApiTermination=False,
            EbsOptimized=False,
            Monitoring={"Enabled": False},
            Placement={"AvailabilityZone": subnet["AvailabilityZone"]},
            NetworkInterfaces=[
                {
                    "DeviceIndex": 0,
                    "SubnetId": subnet["SubnetId"],
                    "Groups": [group],
                    "AssociatePublicIpAddress": True,
                    "DeleteOnTermination": True,
                }
            ],
            BlockDeviceMappings=[{"DeviceName": image["RootDeviceName"], "Ebs": root}],
            MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
            CreditSpecification={"CpuCredits": "standard"},
            UserData="#!/bin/sh\n",
            TagSpecifications=[
                {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "web"}]},
                {"ResourceType": "volume", "Tags": [{"Key": "Name", "Value": "web-root"}]},
            ],
        )["Instances"]
    )
    instance_id = made["InstanceId"]
    assert described(account, instance_id)["InstanceId"] == instance_id  # at once
    account.wait_for("running", instance_id)
    _reads_instance(account, described(account, instance_id), group, subnet)
    _reads_what_belongs_to_it(account, described(account, instance_id))

    ec2.terminate_instances(InstanceIds=[instance_id])
    account.wait_for("terminated", instance_id)
    gone = described(account, instance_id)
    assert (gone["NetworkInterfaces"], gone["BlockDeviceMappings"]) == ([], [])
    ec2.delete_security_group(GroupId=group)


def _reads_instance(account, instance, group, subnet):
    """Every member that resourceInstanceRead takes without asking whether it is there."""
    assert instance["Placement"] == {
        "AvailabilityZone": subnet["AvailabilityZone"],
        "GroupName": "",
        "Tenancy": "default",
    }
    assert instance["CpuOptions"] == {"CoreCount": 1, "ThreadsPerCore": 1}
    assert instance["HibernationOptions"] == {"Configured": False}
    assert instance["EnclaveOptions"] == {"Enabled": False}
    assert instance["MaintenanceOptions"]["AutoRecovery"] == "default"
    options = instance["MetadataOptions"]
    assert (options["State"], options["HttpTokens"]) == ("applied", "required")
    assert (options["HttpEndpoint"], options["HttpPutResponseHopLimit"]) == ("enabled", 2)
    assert instance["PrivateDnsNameOptions"]["HostnameType"] == "ip-name"
    reserved = instance["CapacityReservationSpecification"]
    assert reserved == {"CapacityReservationPreference": "open"}
    assert instance["Monitoring"] == {"State": "disabled"}
    assert (instance["EbsOptimized"], instance["SourceDestCheck"]) == (False, True)
    assert [each["GroupId"] for each in instance["SecurityGroups"]] == [group]
    assert instance["Tags"] == [{"Key": "Name", "Value": "web"}]

    nic = the_one(instance["NetworkInterfaces"])
    attachment = nic["Attachment"]
    assert (attachment["DeviceIndex"], attachment["NetworkCardIndex"]) == (0, 0)
    assert (attachment["DeleteOnTermination"], attachment["Status"]) == (True, "attached")
    assert [each["GroupId"] for each in nic["Groups"]] == [group]
    assert (nic["SubnetId"], nic["Description"]) == (subnet["SubnetId"], "")
    assert nic["Ipv6Addresses"] == []
    assert nic["Association"]["PublicIp"] == instance["PublicIpAddress"]
    address = the_one(nic["PrivateIpAddresses"])
    assert (address["Primary"], address["PrivateIpAddress"]) == (True, nic["PrivateIpAddress"])


def _reads_what_belongs_to_it(account, instance):
    """The calls that follow DescribeInstances, in order."""
    ec2, instance_id = account.ec2, instance["InstanceId"]
    kind = the_one(ec2.describe_instance_types(InstanceTypes=["t2.micro"])["InstanceTypes"])
    for member in ("VCpuInfo", "MemoryInfo", "NetworkInfo", "EbsInfo", "ProcessorInfo"):
        assert kind[member]
    assert kind["BurstablePerformanceSupported"] is True
    template = [by("resource-id", instance_id), by("key", "aws:ec2launchtemplate:id")]
    assert ec2.describe_tags(Filters=template)["Tags"] == []
    assert the_one(ec2.describe_vpcs(VpcIds=[instance["VpcId"]])["Vpcs"])["IsDefault"] is True

    device = the_one(instance["BlockDeviceMappings"])
    assert device["DeviceName"] == instance["RootDeviceName"]
    volume_id = device["Ebs"]["VolumeId"]
    volume = the_one(ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"])
    assert (volume["Size"], volume["VolumeType"], volume["Iops"]) == (9, "gp3", 3000)
    assert (volume["Encrypted"], volume["MultiAttachEnabled"]) == (False, False)
    assert volume["Tags"] == [{"Key": "Name", "Value": "web-root"}]
    attachment = the_one(volume["Attachments"])
    assert attachment["InstanceId"] == instance_id
    assert attachment["Device"] == instance["RootDeviceName"]
    assert attachment["DeleteOnTermination"] is True

    for attribute, member, value in (
        ("instanceInitiatedShutdownBehavior", "InstanceInitiatedShutdownBehavior", "stop"),
        ("disableApiStop", "DisableApiStop", False),
        ("disableApiTermination", "DisableApiTermination", False),
        ("userData", "UserData", base64.b64encode(b"#!/bin/sh\n").decode()),
    ):
        answer = ec2.describe_instance_attribute(InstanceId=instance_id, Attribute=attribute)
        assert answer[member] == {"Value": value}
    credits = ec2.describe_instance_credit_specifications(InstanceIds=[instance_id])
    credited = the_one(credits["InstanceCreditSpecifications"])
    default = "standard" if instance["InstanceType"].startswith("t2.") else "unlimited"
    assert credited == {"InstanceId": instance_id, "CpuCredits": default}


def test_aws_eip(cloud, account):
    ec2 = account.ec2
    instance_id = ec2.run_instances(ImageId=cloud.image_id, MinCount=1, MaxCount=1)["Instances"][0][
        "InstanceId"
    ]
    account.wait_for("running", instance_id)
    tags = [{"Key": "Name", "Value": "web"}]
    made = ec2.allocate_address(
        Domain="vpc", TagSpecifications=[{"ResourceType": "elastic-ip", "Tags": tags}]
    )
    allocation = made["AllocationId"]
    seen = the_one(ec2.describe_addresses(AllocationIds=[allocation])["Addresses"])
    for field in ("PublicIp", "AllocationId", "Domain", "PublicIpv4Pool", "NetworkBorderGroup"):
        assert seen[field] == made[field]
    assert seen["Tags"] == tags
    assert "AssociationId" not in seen

    association = ec2.associate_address(
        AllocationId=allocation, InstanceId=instance_id, AllowReassociation=True
    )["AssociationId"]
    found = ec2.describe_addresses(Filters=[by("association-id", association)])
    seen = the_one(found["Addresses"])
    nic = the_one(described(account, instance_id)["NetworkInterfaces"])
    assert seen["InstanceId"] == instance_id
    assert seen["NetworkInterfaceId"] == nic["NetworkInterfaceId"]
    assert seen["PrivateIpAddress"] == nic["PrivateIpAddress"]
    assert nic["Association"]["PublicIp"] == made["PublicIp"]
    assert nic["Association"]["IpOwnerId"] == account.account_id

    ec2.disassociate_address(AssociationId=association)
    found = ec2.describe_addresses(Filters=[by("association-id", association)])
    assert found["Addresses"] == []
    ec2.release_address(AllocationId=allocation)
    gone = refused(ec2.describe_addresses, AllocationIds=[allocation])
    assert gone == "InvalidAllocationID.NotFound"


def test_aws_ami(cloud, account):
    ec2 = account.ec2
    headers = {"Content-Type": "application/octet-stream"}
    path = "/v1/image-uploads?disk_format=raw"
    location = account.send("POST", path, bytes(1 << 20), headers, service="pileus").json()
    made = ec2.register_image(
        Name="terraform-ami",
        ImageLocation=location["image_location"],
        Architecture="x86_64",
        RootDeviceName="/dev/xvda",
        VirtualizationType="hvm",
        EnaSupport=True,
        Description="from Terraform",
        BlockDeviceMappings=[
            {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8, "DeleteOnTermination": True}}
        ],
        TagSpecifications=[{"ResourceType": "image", "Tags": [{"Key": "a", "Value": "b"}]}],
    )["ImageId"]
    seen = the_one(ec2.describe_images(ImageIds=[made])["Images"])
    assert seen["State"] in ("pending", "available")
    ec2.get_waiter("image_available").wait(
        ImageIds=[made], WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    seen = the_one(ec2.describe_images(ImageIds=[made])["Images"])
    assert (seen["OwnerId"], seen["Public"]) == (account.account_id, False)
    assert (seen["Name"], seen["Description"]) == ("terraform-ami", "from Terraform")
    assert (seen["RootDeviceName"], seen["RootDeviceType"]) == ("/dev/xvda", "ebs")
    assert (seen["Architecture"], seen["VirtualizationType"]) == ("x86_64", "hvm")
    assert (seen["EnaSupport"], seen["Tags"]) == (True, [{"Key": "a", "Value": "b"}])
    assert the_one(seen["BlockDeviceMappings"])["Ebs"]["VolumeSize"] == 8
    ec2.deregister_image(ImageId=made)
    assert ec2.describe_images(ImageIds=[made])["Images"] == []
