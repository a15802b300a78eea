"""Many customers at once, through every thread that a cloud has, on hosts that misbehave.

The simulation (tests/simulation) is one thread and any fault; this is real threads, sockets and
locks, and faults that a hypervisor has by itself. Afterwards the same must hold: everything
converges, the books are right, and the hosts have what the database says.
"""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from tests.harness.invariants import Broken, check, claims, course, machines
from tests.harness.waiting import wait_until
from tests.harness.wired import WiredCloud

CUSTOMERS, CALLS = 6, 40
HOST = """
[limits]
shutdown_ms = 500
reboot_ms = 500
ask_again_ms = 200
backoff_ms = 50
backoff_most_ms = 500
poll_ms = 100
audit_ms = 1000
[faults]
create_fails = 0.1
call_fails = 0.05
crash = 0.1
powers_off = 0.1
deaf = 0.2
lost_event = 0.2
crash_ms = 2000
"""
AFTERWARDS = (
    claims.no_host_is_oversubscribed,
    claims.host_usage_is_the_sum_of_the_living,
    claims.a_claim_is_the_instances_size,
    claims.every_living_guest_has_its_claim,
    claims.quota_usage_is_the_sum_of_the_living,
    claims.a_private_address_has_one_owner,
    claims.a_mac_address_has_one_owner,
    claims.a_public_address_has_one_owner,
    course.a_client_token_made_one_set,
    course.every_reference_is_answered,
    machines.no_instance_has_two_live_domains,
    machines.every_desire_is_reached,
    machines.nothing_is_left_on_hosts,
    machines.all_is_told_and_acknowledged,
    machines.hosts_networks_are_as_decided,
)


@pytest.fixture
def cloud(tmp_path):
    with WiredCloud(tmp_path, hosts=3, host=HOST) as cloud:
        yield cloud


def test_a_storm_passes(cloud):
    accounts = [cloud.account(f"customer-{number}") for number in range(CUSTOMERS)]
    with ThreadPoolExecutor(CUSTOMERS) as pool:
        list(pool.map(lambda numbered: _customer(cloud, *numbered), enumerate(accounts)))
    for host in cloud.hosts:
        host.behave()
    world = cloud.world()
    wait_until("quiesced", lambda: _is_quiesced(world), limit_s=60)
    check(world, AFTERWARDS)


def _customer(cloud, number: int, account) -> None:
    """A script's life: it launches, changes its mind and takes refusals as they come."""
    rng, ec2 = random.Random(number), account.ec2
    mine: list[str] = []
    for _ in range(CALLS):
        some = rng.sample(mine, min(len(mine), rng.randint(1, 2)))
        try:
            if not some or rng.random() < 0.3:
                launched = ec2.run_instances(
                    ImageId=cloud.image_id,
                    InstanceType=rng.choice(["t2.nano", "t2.micro"]),
                    MinCount=1,
                    MaxCount=rng.randint(1, 3),
                )
                mine += [instance["InstanceId"] for instance in launched["Instances"]]
            else:
                call = rng.choice([ec2.stop_instances, ec2.start_instances, ec2.reboot_instances])
                if rng.random() < 0.3:
                    call, mine = ec2.terminate_instances, [one for one in mine if one not in some]
                call(InstanceIds=some)
        except ClientError as refusal:
            assert refusal.response["ResponseMetadata"]["HTTPStatusCode"] < 500, refusal


def _is_quiesced(world) -> bool:
    try:
        check(world, AFTERWARDS)
    except Broken:
        return False
    return True
