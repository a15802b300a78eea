"""Many callers at once on the same few things; afterwards the books must balance.

Refusals are expected by the hundred, each by its proper code; what must never be is an answer of
the 500s, a thing made twice, or a total that is not the sum of its parts.
"""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from controller import config
from controller.app import OWNED
from controller.audit import discrepancies
from controller.kernel.sqlite import open_sqlite
from tests.api.asking import launch, refused
from tests.harness.waiting import wait_until

CALLERS = 8


def at_once(*calls) -> tuple[list, list[str]]:
    """Calls in as many threads: (answers, codes of the refusals)."""

    def run(call):
        try:
            return call(), None
        except ClientError as refusal:
            assert refusal.response["ResponseMetadata"]["HTTPStatusCode"] < 500, refusal
            return None, refusal.response["Error"]["Code"]

    with ThreadPoolExecutor(len(calls)) as pool:
        outcomes = list(pool.map(run, calls))
    return (
        [answer for answer, code in outcomes if code is None],
        [code for _, code in outcomes if code is not None],
    )


def books(cloud) -> list[str]:
    """What does not add up, as the controller's own audit reads it."""
    db = open_sqlite(config.load(cloud.files.controller_toml).database)
    try:
        with db.read() as session:
            return discrepancies(session, OWNED)
    finally:
        db.close()


def quota(cloud, account, name: str, maximum: int) -> None:
    path = f"/v1/accounts/{account.account_id}/quotas/{name}"
    cloud.operator.api("PUT", path, {"limit": maximum})


@pytest.mark.parametrize(
    ("make", "lost"),
    [
        (
            lambda ec2: ec2.create_key_pair(KeyName="one", KeyType="ed25519"),
            "InvalidKeyPair.Duplicate",
        ),
        (
            lambda ec2: ec2.create_security_group(GroupName="one", Description="d"),
            "InvalidGroup.Duplicate",
        ),
        (
            lambda ec2: ec2.authorize_security_group_ingress(
                GroupName="default", IpProtocol="tcp", FromPort=1, ToPort=1, CidrIp="192.0.2.0/24"
            ),
            "InvalidPermission.Duplicate",
        ),
    ],
    ids=["key pair", "group", "rule"],
)
def test_of_eight_who_make_the_same_one_does(account, make, lost):
    made, refusals = at_once(*[lambda: make(account.ec2)] * CALLERS)
    assert len(made) == 1
    assert refusals == [lost] * (CALLERS - 1)


def test_one_token_one_launch(cloud, account):
    given = {"ImageId": cloud.image_id, "MinCount": 2, "MaxCount": 2, "ClientToken": "once"}
    made, refusals = at_once(*[lambda: account.ec2.run_instances(**given)] * CALLERS)
    assert refusals == []
    assert len({answer["ReservationId"] for answer in made}) == 1
    assert len(account.states()) == 2


@pytest.mark.parametrize("attempt", range(4))
def test_a_group_is_not_deleted_under_a_launch(cloud, account, attempt):
    ec2 = account.ec2
    group_id = ec2.create_security_group(GroupName="going", Description="d")["GroupId"]
    given = {"ImageId": cloud.image_id, "MinCount": 1, "MaxCount": 1}
    at_once(
        lambda: ec2.run_instances(**given, SecurityGroupIds=[group_id]),
        lambda: ec2.delete_security_group(GroupId=group_id),
        lambda: ec2.delete_security_group(GroupId=group_id),
        lambda: ec2.run_instances(**given, SecurityGroupIds=[group_id]),
    )
    there = {group["GroupId"] for group in ec2.describe_security_groups()["SecurityGroups"]}
    named = {
        group["GroupId"]
        for reservation in ec2.describe_instances()["Reservations"]
        for instance in reservation["Instances"]
        for group in instance["SecurityGroups"]
    }
    assert named <= there


def test_the_last_of_a_quota_goes_to_one(cloud, account):
    quota(cloud, account, "instances", 3)
    quota(cloud, account, "addresses", 2)
    given = {"ImageId": cloud.image_id, "MinCount": 1, "MaxCount": 1}
    made, refusals = at_once(*[lambda: account.ec2.run_instances(**given)] * CALLERS)
    assert (len(made), set(refusals)) == (3, {"InstanceLimitExceeded"})
    made, refusals = at_once(*[account.ec2.allocate_address] * CALLERS)
    assert (len(made), set(refusals)) == (2, {"AddressLimitExceeded"})
    assert books(cloud) == []
    # What is let go can be had again, and no more than that.
    account.ec2.release_address(AllocationId=made[0]["AllocationId"])
    made, _ = at_once(*[account.ec2.allocate_address] * CALLERS)
    assert len(made) == 1
    account.terminate_all()
    wait_until("books", lambda: not books(cloud))
    made, _ = at_once(*[lambda: account.ec2.run_instances(**given)] * CALLERS)
    assert len(made) == 3


def test_one_address_on_one_instance(cloud, account):
    ids = [each["InstanceId"] for each in launch(cloud, account, 4)]
    allocation = account.ec2.allocate_address()["AllocationId"]
    made, _ = at_once(
        *[
            lambda instance_id=instance_id: account.ec2.associate_address(
                AllocationId=allocation, InstanceId=instance_id, AllowReassociation=False
            )
            for instance_id in ids
        ]
    )
    assert len(made) == 1
    assert refused(account.ec2.release_address, AllocationId=allocation) == "InvalidIPAddress.InUse"
    assert books(cloud) == []


def test_everything_at_once(cloud, account):
    """Start, stop, terminate, addresses, rules, groups, types and tags, by eight callers."""
    ec2 = account.ec2
    group = ec2.create_security_group(GroupName="busy", Description="d")["GroupId"]
    ids = [each["InstanceId"] for each in launch(cloud, account, 6)]
    addresses = [ec2.allocate_address()["AllocationId"] for _ in range(2)]
    given = {"ImageId": cloud.image_id, "MinCount": 1, "MaxCount": 2}

    def acts(dice):
        one = dice.choice(ids)
        port = dice.randrange(3)
        rule = {"IpProtocol": "tcp", "FromPort": port, "ToPort": 9, "CidrIp": "0.0.0.0/0"}
        return [
            lambda: ids.extend(
                each["InstanceId"] for each in ec2.run_instances(**given)["Instances"]
            ),
            lambda: ec2.start_instances(InstanceIds=[one]),
            lambda: ec2.stop_instances(InstanceIds=[one], Force=dice.random() < 0.3),
            lambda: ec2.reboot_instances(InstanceIds=[one]),
            lambda: ec2.terminate_instances(InstanceIds=[one]),
            lambda: ec2.associate_address(AllocationId=dice.choice(addresses), InstanceId=one),
            lambda: ec2.authorize_security_group_ingress(GroupId=group, **rule),
            lambda: ec2.revoke_security_group_ingress(GroupId=group, **rule),
            lambda: ec2.modify_instance_attribute(InstanceId=one, Groups=[group]),
            lambda: ec2.modify_instance_attribute(
                InstanceId=one, InstanceType={"Value": dice.choice(["t2.nano", "t2.small"])}
            ),
            lambda: ec2.create_tags(Resources=[one], Tags=[{"Key": "k", "Value": str(port)}]),
        ]

    def caller(seed):
        dice = random.Random(seed)
        for _ in range(30):
            at_once(dice.choice(acts(dice)))

    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(caller, range(CALLERS)))
    steady = {"running", "stopped", "terminated"}
    wait_until("calm", lambda: set(account.states().values()) <= steady)
    wait_until("books", lambda: not books(cloud))
    carried = [
        address["InstanceId"]
        for address in ec2.describe_addresses()["Addresses"]
        if "InstanceId" in address
    ]
    states = account.states()
    assert all(states[instance_id] != "terminated" for instance_id in carried)
