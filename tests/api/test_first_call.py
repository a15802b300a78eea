"""The fixture itself: a cloud that unmodified boto3 can use from the first call on."""


def test_a_guest_runs_and_goes(cloud, account):
    answer = account.ec2.run_instances(ImageId=cloud.image_id, MinCount=1, MaxCount=1)
    instance_id = answer["Instances"][0]["InstanceId"]
    account.wait_for("running", instance_id)
    host = cloud.host_of(instance_id)

    account.ec2.terminate_instances(InstanceIds=[instance_id])
    account.wait_for("terminated", instance_id)
    assert instance_id not in host.hypervisor.domains()


def test_two_accounts_do_not_see_each_other(cloud, account, other):
    answer = account.ec2.run_instances(ImageId=cloud.image_id, MinCount=1, MaxCount=1)
    assert list(account.states()) == [answer["Instances"][0]["InstanceId"]]
    assert other.states() == {}


def test_a_guest_that_powers_itself_off_is_stopped(cloud, account):
    answer = account.ec2.run_instances(ImageId=cloud.image_id, MinCount=1, MaxCount=1)
    instance_id = answer["Instances"][0]["InstanceId"]
    account.wait_for("running", instance_id)
    cloud.host_of(instance_id).hypervisor.power_off_inside(instance_id)
    account.wait_for("stopped", instance_id)
    seen = account.ec2.describe_instances(InstanceIds=[instance_id])
    reason = seen["Reservations"][0]["Instances"][0]["StateReason"]
    assert reason["Code"] == "Client.InstanceInitiatedShutdown"


def test_a_request_signed_by_hand(account):
    answer = account.send("POST", body="Action=DescribeVpcs&Version=2016-11-15")
    assert answer.status == 200
    assert b"DescribeVpcsResponse" in answer.data
