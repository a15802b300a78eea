"""The credit options of burstable instances, over the wire."""

import pytest

from tests.api.asking import launch_one, refused, status_of


@pytest.fixture
def ask(account):
    return account.ec2.describe_instance_credit_specifications


def credits_of(account, *ids) -> dict[str, str]:
    answer = account.ec2.describe_instance_credit_specifications(InstanceIds=list(ids))
    return {one["InstanceId"]: one["CpuCredits"] for one in answer["InstanceCreditSpecifications"]}


def modify(account, *chosen):
    return account.ec2.modify_instance_credit_specification(
        InstanceCreditSpecifications=[
            {"InstanceId": name, "CpuCredits": option} for name, option in chosen
        ]
    )


def test_burstable_instances_are_credited_as_their_types_are(cloud, account, other, ask):
    t2, t3, m5 = (
        launch_one(cloud, account, InstanceType=name) for name in ("t2.nano", "t3.nano", "m5.large")
    )
    assert credits_of(account, t2, t3) == {t2: "standard", t3: "unlimited"}
    assert credits_of(account) == {t3: "unlimited"}, "as EC2 has it where none is named"
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


def test_a_launch_says_how_it_is_credited(cloud, account):
    asked = {"CreditSpecification": {"CpuCredits": "unlimited"}}
    one = launch_one(cloud, account, InstanceType="t2.nano", **asked)
    assert credits_of(account, one) == {one: "unlimited"}
    launch = {"ImageId": cloud.image_id, "MinCount": 1, "MaxCount": 1}
    run = account.ec2.run_instances
    fixed = refused(run, InstanceType="m5.large", **launch, **asked)
    assert fixed == "InstanceCreditSpecification.NotSupported"
    wrong = {"CreditSpecification": {"CpuCredits": "some"}}
    assert refused(run, InstanceType="t2.nano", **launch, **wrong) == "InvalidParameterValue"


def test_the_option_is_changed_one_by_one(cloud, account, other):
    burstable = launch_one(cloud, account, InstanceType="t3.nano")
    fixed = launch_one(cloud, account, InstanceType="m5.large")
    going = launch_one(cloud, account, InstanceType="t3.nano")
    account.ec2.terminate_instances(InstanceIds=[going])
    nobodys = "i-0123456789abcdef0"
    names = (burstable, fixed, going, nobodys, "i-x")
    answer = modify(account, *((name, "standard") for name in names))
    assert answer["SuccessfulInstanceCreditSpecifications"] == [{"InstanceId": burstable}]
    refusals = answer["UnsuccessfulInstanceCreditSpecifications"]
    assert {each["InstanceId"]: each["Error"]["Code"] for each in refusals} == {
        fixed: "InstanceCreditSpecification.NotSupported",
        going: "IncorrectInstanceState",
        nobodys: "InvalidInstanceID.NotFound",
        "i-x": "InvalidInstanceID.Malformed",
    }
    assert all(each["Error"]["Message"] for each in refusals)
    assert credits_of(account, burstable) == {burstable: "standard"}
    theirs = modify(other, (burstable, "unlimited"))
    (refusal,) = theirs["UnsuccessfulInstanceCreditSpecifications"]
    assert refusal["Error"]["Code"] == "InvalidInstanceID.NotFound"
    assert credits_of(account, burstable) == {burstable: "standard"}
    modify_by_hand = account.ec2.modify_instance_credit_specification
    wrong = [{"InstanceId": burstable, "CpuCredits": "none"}]
    refusal = refused(modify_by_hand, InstanceCreditSpecifications=wrong)
    assert refusal == "InvalidParameterValue"
    assert refused(modify_by_hand, InstanceCreditSpecifications=[]) == "MissingParameter"
