"""Nothing lost, for real: services killed in the middle of launches and terminations, and a power
failure. Then everything converges, and the host holds nothing that it should not.
"""

import random
import subprocess
import threading

import pytest

from tests.real.real_cloud import RealCloud, eventually, ssh

COUNT = 10
KILLED = ("gateway", "controller", "hostagent", "libvirtd")
CONVERGE_S = 240


@pytest.fixture(scope="module")
def account(cloud) -> dict[str, str]:
    return cloud.account("survivor")


@pytest.fixture(scope="module")
def ec2(cloud, account):
    return cloud.ec2(account)


@pytest.fixture(scope="module")
def key(ec2, tmp_path_factory):
    path = tmp_path_factory.mktemp("key") / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    ec2.import_key_pair(KeyName="mine", PublicKeyMaterial=path.with_suffix(".pub").read_bytes())
    (group,) = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"]
    ec2.authorize_security_group_ingress(
        GroupId=group["GroupId"], IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0"
    )
    return path


def launch(ec2, token: str) -> str:
    """One instance. The token makes a repeated call the same call, as clients do it."""
    (image,) = ec2.describe_images(Filters=[{"Name": "name", "Values": ["pileus-demo"]}])["Images"]
    (instance,) = ec2.run_instances(
        ImageId=image["ImageId"],
        InstanceType="t2.nano",
        KeyName="mine",
        MinCount=1,
        MaxCount=1,
        ClientToken=token,
    )["Instances"]
    return instance["InstanceId"]


def states(ec2) -> dict[str, str]:
    pages = ec2.get_paginator("describe_instances").paginate()
    return {
        instance["InstanceId"]: instance["State"]["Name"]
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
    }


def amid(cloud: RealCloud, work, rng: random.Random) -> None:
    """Does ``work`` while each service is killed once, in random order, a moment apart."""
    failed = []

    def working() -> None:
        try:
            work()
        except Exception as failure:
            failed.append(failure)

    worker = threading.Thread(target=working)
    worker.start()
    pause = threading.Event()
    for service in rng.sample(KILLED, len(KILLED)):
        pause.wait(rng.uniform(0.1, 1.0))
        cloud.kill(service)
    worker.join(CONVERGE_S)
    assert not worker.is_alive() and not failed, failed


def persistently(call, *arguments, **members):
    """Repeats a call that a dying service did not answer; what is repeated here may be."""
    answers = []

    def attempt() -> bool:
        try:
            answers.append(call(*arguments, **members))
        except Exception as failure:
            if "InvalidParameter" in str(failure):
                raise
            return False
        return True

    eventually(attempt, f"{call} is answered", 60, every_s=0.2)
    return answers[-1]


def test_kills_amid_ten_launches_and_ten_terminations(cloud, ec2, key):
    rng = random.Random(2012)
    launched: list[str] = []

    def launch_all() -> None:
        for number in range(COUNT):
            launched.append(persistently(launch, ec2, f"launch-{number}"))

    amid(cloud, launch_all, rng)
    assert len(set(launched)) == COUNT
    expected = dict.fromkeys(launched, "running")
    eventually(lambda: persistently(states, ec2) == expected, "all run", CONVERGE_S, 1.0)
    described = ec2.describe_instances(InstanceIds=launched[:2])["Reservations"]
    for reservation in described:
        for instance in reservation["Instances"]:
            address = instance["PublicIpAddress"]
            eventually(lambda a=address: ssh(a, key, "true") is not None, address, CONVERGE_S, 1.0)

    def terminate_all() -> None:
        for instance_id in launched:
            persistently(ec2.terminate_instances, InstanceIds=[instance_id])

    amid(cloud, terminate_all, rng)
    gone = dict.fromkeys(launched, "terminated")
    eventually(lambda: persistently(states, ec2) == gone, "all are gone", CONVERGE_S, 1.0)
    eventually(
        lambda: cloud.pileus("audit", check=False).returncode == 0, "nothing is left on the host"
    )
    domains = [line for line in cloud.processes().values() if "qemu-system" in line]
    assert domains == []


def test_a_power_failure_restarts_what_should_run(cloud, ec2, key):
    running, stopped = launch(ec2, "power-1"), launch(ec2, "power-2")
    fast = {"Delay": 1, "MaxAttempts": 120}
    ec2.get_waiter("instance_running").wait(InstanceIds=[running, stopped], WaiterConfig=fast)
    ec2.stop_instances(InstanceIds=[stopped], Force=True)
    ec2.get_waiter("instance_stopped").wait(InstanceIds=[stopped], WaiterConfig=fast)
    (reservation,) = ec2.describe_instances(InstanceIds=[running])["Reservations"]
    address = reservation["Instances"][0]["PublicIpAddress"]
    boot = "cat /proc/sys/kernel/random/boot_id"
    write = f"echo kept > kept && sync && {boot}"
    before = eventually(lambda: ssh(address, key, write), "a file is written", CONVERGE_S, 1.0)

    cloud.lose_power()
    cloud.up_again()

    after = eventually(lambda: ssh(address, key, f"{boot}; cat kept"), "back", CONVERGE_S, 1.0)
    assert after.endswith("kept\n") and before not in after
    assert states(ec2)[running] == "running" and states(ec2)[stopped] == "stopped"
    ec2.terminate_instances(InstanceIds=[running, stopped])
    ec2.get_waiter("instance_terminated").wait(InstanceIds=[running, stopped], WaiterConfig=fast)
