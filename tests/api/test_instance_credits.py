"""DescribeInstanceCreditSpecifications over the wire."""

from tests.api.asking import launch_one, refused, status_of


def test_burstable_instances_are_credited_as_their_types_are(cloud, account, other):
    ask = account.ec2.describe_instance_credit_specifications
    t2, t3, m5 = (
        launch_one(cloud, account, InstanceType=name) for name in ("t2.nano", "t3.nano", "m5.large")
    )
    shown = {one["InstanceId"]: one["CpuCredits"] for one in ask()["InstanceCreditSpecifications"]}
    assert shown == {t2: "standard", t3: "unlimited"}
    only = ask(Filters=[{"Name": "instance-id", "Values": [t3]}])["InstanceCreditSpecifications"]
    assert only == [{"InstanceId": t3, "CpuCredits": "unlimited"}]
    assert refused(ask, InstanceIds=[m5]) == "InvalidParameterValue"
    assert refused(ask, InstanceIds=["i-x"]) == "InvalidInstanceID.Malformed"
    theirs = other.ec2.describe_instance_credit_specifications
    assert refused(theirs, InstanceIds=[t2]) == "InvalidInstanceID.NotFound"
    both = {"InstanceIds": [t2], "MaxResults": 5}
    assert refused(ask, **both) == "InvalidParameterCombination"
    assert "NextToken" not in ask(MaxResults=5)
    assert status_of(ask, DryRun=True) == (412, "DryRunOperation")
