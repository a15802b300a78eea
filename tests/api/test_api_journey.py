"""What a cloud user's script does from morning to evening, by unmodified boto3 and its waiters."""

from tests.api.asking import described, public_key, refused


def test_a_day(cloud, account):
    ec2 = account.ec2
    ec2.import_key_pair(KeyName="mine", PublicKeyMaterial=public_key())
    ec2.get_waiter("key_pair_exists").wait(KeyNames=["mine"])
    group = ec2.create_security_group(GroupName="ssh", Description="port 22")["GroupId"]
    ec2.get_waiter("security_group_exists").wait(GroupIds=[group])
    ec2.authorize_security_group_ingress(
        GroupId=group, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0"
    )
    image = ec2.describe_images(Filters=[{"Name": "name", "Values": ["demo"]}])["Images"][0]
    ec2.get_waiter("image_available").wait(ImageIds=[image["ImageId"]])
    ids = [
        instance["InstanceId"]
        for instance in ec2.run_instances(
            ImageId=image["ImageId"],
            InstanceType="t2.nano",
            KeyName="mine",
            SecurityGroupIds=[group],
            MinCount=3,
            MaxCount=3,
            UserData="#!/bin/sh\necho hello > /hello\n",
            TagSpecifications=[
                {"ResourceType": "instance", "Tags": [{"Key": "role", "Value": "web"}]}
            ],
        )["Instances"]
    ]
    wait = {"WaiterConfig": {"Delay": 1, "MaxAttempts": 60}}
    ec2.get_waiter("instance_exists").wait(InstanceIds=ids, **wait)
    ec2.get_waiter("instance_running").wait(InstanceIds=ids, **wait)
    ec2.get_waiter("instance_status_ok").wait(InstanceIds=ids, **wait)
    ec2.get_waiter("system_status_ok").wait(InstanceIds=ids, **wait)
    one, two, three = ids
    first = described(account, one)
    assert first["KeyName"] == "mine"
    assert [each["GroupId"] for each in first["SecurityGroups"]] == [group]
    assert len({described(account, each)["PrivateIpAddress"] for each in ids}) == 3

    ec2.create_tags(Resources=[one], Tags=[{"Key": "Name", "Value": "first"}])
    named = ec2.describe_instances(Filters=[{"Name": "tag:Name", "Values": ["fir*"]}])
    assert named["Reservations"][0]["Instances"][0]["InstanceId"] == one

    ec2.stop_instances(InstanceIds=[one])
    ec2.get_waiter("instance_stopped").wait(InstanceIds=[one], **wait)
    stopped = described(account, one)
    assert stopped["PrivateIpAddress"] == first["PrivateIpAddress"]
    assert "PublicIpAddress" not in stopped
    ec2.start_instances(InstanceIds=[one])
    ec2.get_waiter("instance_running").wait(InstanceIds=[one], **wait)
    assert described(account, one)["PrivateIpAddress"] == first["PrivateIpAddress"]
    ec2.reboot_instances(InstanceIds=[one])
    assert isinstance(ec2.get_console_output(InstanceId=one)["Output"], str)

    address = ec2.allocate_address(Domain="vpc")
    ec2.associate_address(AllocationId=address["AllocationId"], InstanceId=one)
    assert described(account, one)["PublicIpAddress"] == address["PublicIp"]
    moved = ec2.associate_address(AllocationId=address["AllocationId"], InstanceId=two)
    assert described(account, two)["PublicIpAddress"] == address["PublicIp"]
    assert described(account, one).get("PublicIpAddress") != address["PublicIp"]
    assert refused(ec2.release_address, AllocationId=address["AllocationId"]) == (
        "InvalidIPAddress.InUse"
    )
    ec2.disassociate_address(AssociationId=moved["AssociationId"])
    ec2.release_address(AllocationId=address["AllocationId"])

    assert refused(ec2.delete_security_group, GroupId=group) == "DependencyViolation"
    ec2.terminate_instances(InstanceIds=ids)
    ec2.get_waiter("instance_terminated").wait(InstanceIds=ids, **wait)
    ec2.delete_security_group(GroupId=group)
    ec2.delete_key_pair(KeyName="mine")
    assert three


def test_resources_of_boto3(cloud, account):
    import boto3

    resource = boto3.resource(
        "ec2",
        endpoint_url=account.endpoint,
        region_name="us-east-1",
        aws_access_key_id=account.access_key_id,
        aws_secret_access_key=account.secret_access_key,
    )
    (instance,) = resource.create_instances(ImageId=cloud.image_id, MinCount=1, MaxCount=1)
    instance.wait_until_running(WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    instance.reload()
    assert instance.subnet.vpc.is_default
    assert [volume.size for volume in instance.volumes.all()]
    assert instance.describe_attribute(Attribute="disableApiTermination")[
        "DisableApiTermination"
    ] == {"Value": False}
    instance.terminate()


def test_who_am_i(account):
    seen = account.sts.get_caller_identity()
    assert seen["Account"] == account.account_id
    assert seen["Arn"].startswith(f"arn:aws:iam::{account.account_id}:")
    assert seen["UserId"]
