"""The main job, for real: unmodified boto3 launches guests on this machine and works with them.

The tests of this file are one story, in order; each leaves the three instances running. A fourth
falls silent meanwhile.
"""

import base64
import subprocess

import pytest
from botocore.exceptions import ClientError

from tests.harness.waiting import wait_until
from tests.real.real_cloud import eventually, ssh

FAST = {"Delay": 1, "MaxAttempts": 120}
USER_DATA = """#!/bin/bash
echo "made by user-data on $(hostname)" > /home/ec2-user/made
"""
FALL_SILENT = """#!/bin/bash
sleep 10
ip link set eth0 down
"""
BOOT_S = 180
SSH_S = 20  # from a guest's first word on its network to its SSH server's
SILENCE_S = 180  # two audits in a row, a minute apart


@pytest.fixture(scope="module")
def ec2(cloud):
    return cloud.ec2(cloud.account("main-job"))


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    path = tmp_path_factory.mktemp("key") / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def demo_image(ec2) -> str:
    (image,) = ec2.describe_images(Filters=[{"Name": "name", "Values": ["pileus-demo"]}])["Images"]
    return image["ImageId"]


def open_ssh(ec2, key) -> str:
    """Imports the key, makes a group with port 22; answers the group's id."""
    ec2.import_key_pair(KeyName="mine", PublicKeyMaterial=key.with_suffix(".pub").read_bytes())
    group = ec2.create_security_group(GroupName="ssh", Description="port 22")["GroupId"]
    ec2.authorize_security_group_ingress(
        GroupId=group, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0"
    )
    return group


def launched(ec2, count: int, **more) -> list[str]:
    run = ec2.run_instances(
        ImageId=demo_image(ec2),
        InstanceType="t2.nano",
        MinCount=count,
        MaxCount=count,
        KeyName="mine",
        **more,
    )
    return [instance["InstanceId"] for instance in run["Instances"]]


def statuses(ec2, ids: list[str]) -> dict[str, dict]:
    answer = ec2.describe_instance_status(InstanceIds=ids, IncludeAllInstances=True)
    return {each["InstanceId"]: each for each in answer["InstanceStatuses"]}


@pytest.fixture(scope="module")
def boots(ec2, key) -> dict[str, list[str]]:
    """Three instances, each with the words of its status check from its launch to `ok`."""
    ids = launched(ec2, 3, SecurityGroupIds=[open_ssh(ec2, key)], UserData=USER_DATA)
    seen: dict[str, list[str]] = {instance_id: [] for instance_id in ids}

    def all_are_ok() -> bool:
        for instance_id, each in statuses(ec2, ids).items():
            status = each["InstanceStatus"]["Status"]
            if seen[instance_id][-1:] != [status]:
                seen[instance_id].append(status)
        return all(words and words[-1] == "ok" for words in seen.values())

    wait_until(lambda: f"all are ok: {seen}", all_are_ok, BOOT_S, look_s=0.1)
    return seen


@pytest.fixture(scope="module")
def instances(ec2, boots) -> list[str]:
    ec2.get_waiter("instance_status_ok").wait(InstanceIds=list(boots), WaiterConfig=FAST)
    return list(boots)


@pytest.fixture(scope="module")
def silent(ec2, instances) -> str:
    """One whose network dies soon after its boot."""
    (instance_id,) = launched(ec2, 1, UserData=FALL_SILENT)
    ec2.get_waiter("instance_status_ok").wait(InstanceIds=[instance_id], WaiterConfig=FAST)
    return instance_id


def described(ec2, instance_id: str) -> dict:
    (reservation,) = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
    return reservation["Instances"][0]


def logged_in(ec2, instance_id: str, key, command: str = "true", user: str = "ec2-user") -> str:
    """What the command says over SSH by the public address, once the guest lets us in."""
    address = described(ec2, instance_id)["PublicIpAddress"]

    def attempt():
        said = ssh(address, key, f"{command}\necho done", user)
        return said if said and said.endswith("done\n") else None

    return eventually(attempt, f"ssh to {instance_id}").removesuffix("done\n")


def test_initializing_until_its_guest_answers_and_then_ssh_does_too(ec2, boots, instances, key):
    for instance_id, words in boots.items():
        assert [word for word in words if word != "not-applicable"] == ["initializing", "ok"]
        address = described(ec2, instance_id)["PublicIpAddress"]
        eventually(lambda a=address: ssh(a, key, "true") is not None, f"ssh to {address}", SSH_S)


def test_each_is_reached_and_has_run_its_user_data(ec2, instances, key):
    for instance_id in instances:
        logged_in(ec2, instance_id, key)
        name = described(ec2, instance_id)["PrivateDnsName"].partition(".")[0]
        said = eventually(
            lambda i=instance_id: logged_in(ec2, i, key, "cat made 2>/dev/null"), "user-data ran"
        )
        assert said == f"made by user-data on {name}\n"
        assert logged_in(ec2, instance_id, key, "id -u", "root") == "0\n"


def test_status_checks_pass(ec2, instances, silent):
    for each in statuses(ec2, [*instances, silent]).values():
        for check in ("InstanceStatus", "SystemStatus"):
            detail = {"Name": "reachability", "Status": "passed"}
            assert each[check] == {"Status": "ok", "Details": [detail]}


def test_the_disk_has_the_size_of_its_volume(ec2, instances, key):
    (volume,) = ec2.describe_volumes(
        Filters=[{"Name": "attachment.instance-id", "Values": [instances[0]]}]
    )["Volumes"]
    kib = int(logged_in(ec2, instances[0], key, "df -k / | tail -n 1 | awk '{print $2}'"))
    assert 0.9 * volume["Size"] < kib / 1024**2 <= volume["Size"]


def test_the_metadata_service_knows_its_guest(ec2, instances, key):
    ask = (
        'T=$(curl -sf -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" '
        "http://169.254.169.254/latest/api/token)\n"
        'curl -sf -H "X-aws-ec2-metadata-token: $T" http://169.254.169.254/latest/meta-data/{}\n'
        "echo"
    )
    instance = described(ec2, instances[1])
    for path, expected in (
        ("instance-id", instances[1]),
        ("local-ipv4", instance["PrivateIpAddress"]),
        ("public-ipv4", instance["PublicIpAddress"]),
        ("instance-type", "t2.nano"),
        ("placement/availability-zone", instance["Placement"]["AvailabilityZone"]),
    ):
        said = logged_in(ec2, instances[1], key, ask.format(path)).strip()
        assert (path, said) == (path, expected)


def test_metadata_options_hold_for_a_guest_that_runs(ec2, instances, key):
    ask = "curl -so /dev/null -w '%{http_code}' http://169.254.169.254/latest/meta-data/"
    for tokens, status in (("required", "401"), ("optional", "200")):
        ec2.modify_instance_metadata_options(InstanceId=instances[1], HttpTokens=tokens)
        eventually(
            lambda: described(ec2, instances[1])["MetadataOptions"]["State"] == "applied",
            f"the guest's metadata service asks for tokens: {tokens}",
        )
        assert logged_in(ec2, instances[1], key, ask) == status


def test_guests_reach_each_other_only_where_a_group_says_so(ec2, instances, key):
    other = described(ec2, instances[1])["PrivateIpAddress"]
    probe = f"nc -w 3 {other} {{}} </dev/null >/dev/null 2>&1 && echo open || echo closed"
    assert logged_in(ec2, instances[0], key, probe.format(22)) == "open\n"
    logged_in(ec2, instances[1], key, "sudo httpd -p 8080")
    assert logged_in(ec2, instances[0], key, probe.format(8080)) == "closed\n"
    group = described(ec2, instances[1])["SecurityGroups"][0]["GroupId"]
    rule = {
        "IpProtocol": "tcp",
        "FromPort": 8080,
        "ToPort": 8080,
        "UserIdGroupPairs": [{"GroupId": group}],
    }
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    eventually(
        lambda: logged_in(ec2, instances[0], key, probe.format(8080)) == "open\n",
        "the rule has reached the guests",
        20,
    )
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[rule])
    eventually(
        lambda: logged_in(ec2, instances[0], key, probe.format(8080)) == "closed\n",
        "the rule is gone from the guests",
        20,
    )


def test_tags_and_filters(ec2, instances):
    ec2.create_tags(Resources=instances[:2], Tags=[{"Key": "role", "Value": "web"}])
    found = ec2.describe_instances(
        Filters=[
            {"Name": "tag:role", "Values": ["w*"]},
            {"Name": "instance-state-name", "Values": ["running"]},
        ]
    )["Reservations"]
    assert {i["InstanceId"] for r in found for i in r["Instances"]} == set(instances[:2])


def test_stop_and_start_keep_the_private_address(ec2, instances, key):
    before = described(ec2, instances[2])
    logged_in(ec2, instances[2], key, "echo kept > kept; sync")
    ec2.stop_instances(InstanceIds=[instances[2]])
    ec2.get_waiter("instance_stopped").wait(InstanceIds=[instances[2]], WaiterConfig=FAST)
    assert "PublicIpAddress" not in described(ec2, instances[2])
    ec2.start_instances(InstanceIds=[instances[2]])
    ec2.get_waiter("instance_running").wait(InstanceIds=[instances[2]], WaiterConfig=FAST)
    assert described(ec2, instances[2])["PrivateIpAddress"] == before["PrivateIpAddress"]
    assert logged_in(ec2, instances[2], key, "cat kept") == "kept\n"


def test_reboot(ec2, instances, key):
    boots = "cat /proc/sys/kernel/random/boot_id"
    before = logged_in(ec2, instances[0], key, boots)
    ec2.reboot_instances(InstanceIds=[instances[0]])
    eventually(lambda: logged_in(ec2, instances[0], key, boots) != before, "another boot")
    assert described(ec2, instances[0])["State"]["Name"] == "running"
    ec2.get_waiter("instance_status_ok").wait(InstanceIds=[instances[0]], WaiterConfig=FAST)


def test_console_output_shows_the_host_key(ec2, instances):
    def output() -> str:
        answer = ec2.get_console_output(InstanceId=instances[0])
        text = answer.get("Output", "")
        return text if "boot finished" in text else ""

    text = eventually(output, "the console says that the boot is finished", 60)
    assert "BEGIN SSH HOST KEY FINGERPRINTS" in text and "ssh-ed25519" in text


def test_an_elastic_address_moves_between_two(ec2, instances, key):
    address = ec2.allocate_address(Domain="vpc")
    for instance_id in instances[:2]:
        ec2.associate_address(
            AllocationId=address["AllocationId"], InstanceId=instance_id, AllowReassociation=True
        )
        assert described(ec2, instance_id)["PublicIpAddress"] == address["PublicIp"]
        name = described(ec2, instance_id)["PrivateDnsName"].partition(".")[0]
        eventually(
            lambda expected=f"{name}\n": ssh(address["PublicIp"], key, "hostname") == expected,
            f"{address['PublicIp']} leads to {instance_id}",
        )
    (association,) = ec2.describe_addresses(AllocationIds=[address["AllocationId"]])["Addresses"]
    ec2.disassociate_address(AssociationId=association["AssociationId"])
    ec2.release_address(AllocationId=address["AllocationId"])


def test_two_accounts_do_not_see_reach_or_name_each_others(cloud, ec2, instances, key):
    mine = described(ec2, instances[0])
    stranger = cloud.ec2(cloud.account("stranger"))
    group = open_ssh(stranger, key)
    subnet = mine["PrivateIpAddress"]
    (his,) = stranger.run_instances(
        ImageId=demo_image(stranger),
        InstanceType="t2.nano",
        MinCount=1,
        MaxCount=1,
        KeyName="mine",
        SecurityGroupIds=[group],
        PrivateIpAddress=subnet,
        UserData=base64.b64encode(b"not a script").decode(),
    )["Instances"]
    stranger.get_waiter("instance_running").wait(InstanceIds=[his["InstanceId"]], WaiterConfig=FAST)
    # Both have the same private address, and each is reached by its own public one.
    there = logged_in(
        stranger, his["InstanceId"], key, "cat /etc/dropbear/*key | sha256sum", "root"
    )
    assert there != logged_in(ec2, instances[0], key, "cat /etc/dropbear/*key | sha256sum", "root")
    # The other's second guest has an address that nobody has in his own network.
    other = described(ec2, instances[1])["PrivateIpAddress"]
    probe = f"nc -w 3 {other} 22 </dev/null >/dev/null 2>&1 && echo open || echo closed"
    assert logged_in(stranger, his["InstanceId"], key, probe) == "closed\n"
    seen = stranger.describe_instances()["Reservations"]
    assert [i["InstanceId"] for r in seen for i in r["Instances"]] == [his["InstanceId"]]
    for call in (
        lambda: stranger.describe_instances(InstanceIds=[instances[0]]),
        lambda: stranger.terminate_instances(InstanceIds=[instances[0]]),
        lambda: stranger.stop_instances(InstanceIds=[instances[0]]),
        lambda: stranger.get_console_output(InstanceId=instances[0]),
    ):
        with pytest.raises(ClientError) as refusal:
            call()
        assert refusal.value.response["Error"]["Code"] == "InvalidInstanceID.NotFound"
    stranger.terminate_instances(InstanceIds=[his["InstanceId"]])
    stranger.get_waiter("instance_terminated").wait(
        InstanceIds=[his["InstanceId"]], WaiterConfig=FAST
    )


def test_a_guest_that_powers_itself_off_is_stopped(ec2, instances, key):
    logged_in(ec2, instances[2], key, "sudo poweroff -d 1 >/dev/null 2>&1 &")
    ec2.get_waiter("instance_stopped").wait(InstanceIds=[instances[2]], WaiterConfig=FAST)
    reason = described(ec2, instances[2])["StateReason"]["Code"]
    assert reason == "Client.InstanceInitiatedShutdown"


def test_a_guest_that_falls_silent_is_impaired(ec2, silent):
    impaired = [{"Name": "instance-status.status", "Values": ["impaired"]}]
    (found,) = eventually(
        lambda: ec2.describe_instance_status(Filters=impaired)["InstanceStatuses"],
        f"{silent} is impaired",
        SILENCE_S,
    )
    assert (found["InstanceId"], found["InstanceState"]["Name"]) == (silent, "running")
    (detail,) = found["InstanceStatus"]["Details"]
    assert (detail["Name"], detail["Status"]) == ("reachability", "failed")
    assert detail["ImpairedSince"] > described(ec2, silent)["LaunchTime"]
    assert found["SystemStatus"]["Status"] == "ok"


def test_services_stop_and_come_back_while_guests_run(cloud, ec2, instances, key):
    before = logged_in(ec2, instances[0], key, "cat /proc/sys/kernel/random/boot_id")
    cloud.down()
    assert cloud.pileus("status", check=False).returncode == 1
    cloud.up_again()
    assert cloud.pileus("status").returncode == 0
    address = described(ec2, instances[0])["PublicIpAddress"]
    assert ssh(address, key, "cat /proc/sys/kernel/random/boot_id") == before


def test_terminated_is_gone_without_trace(cloud, ec2, instances, silent):
    everyone = [*instances, silent]
    ec2.terminate_instances(InstanceIds=everyone)
    ec2.get_waiter("instance_terminated").wait(InstanceIds=everyone, WaiterConfig=FAST)
    audit = eventually(
        lambda: (done := cloud.pileus("audit", check=False)).returncode == 0 and done,
        "a clean host",
    )
    assert audit.returncode == 0
