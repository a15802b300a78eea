"""kill -9 of each service and of all, amid ten launches and ten terminations: nothing is lost.

Real processes, unmodified boto3 with its own retries. Killed services are started again, as the
supervisor of ``pileus up`` does; hosts are fake ones, whose guests outlive their agent in a file.
tests/real/ does the same with libvirt.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.harness.invariants import check, claims
from tests.harness.processes import ProcessCloud
from tests.harness.records import Records
from tests.harness.waiting import wait_until

COUNT = 10
KILLED_AT = (1, 4, 7)  # so many calls of ten are answered when the power is cut
# botocore's older mode: the newer one has a budget of retries for all calls of a client together.
PATIENT = {"max_attempts": 9, "mode": "legacy"}
LIMIT_S = 120


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with ProcessCloud(tmp_path_factory.mktemp("processes")) as cloud:
        yield cloud


@pytest.mark.parametrize(
    "services",
    (["gateway"], ["controller"], ["host-1"], ["gateway", "controller", "host-1"]),
    ids=" ".join,
)
def test_killed_amid_launches_and_terminations(cloud, services):
    account = cloud.account(f"customer of {' '.join(services)}")
    ec2 = account.client("ec2", retries=PATIENT)

    launched = _amid_kills(cloud, services, lambda number: _launch(cloud, ec2))
    wait_until("all run", lambda: _states(account) == dict.fromkeys(launched, "running"), LIMIT_S)
    assert len(launched) == COUNT, "one token, one instance"
    assert _living(cloud) == set(launched)

    _amid_kills(cloud, services, lambda number: _terminate(ec2, launched[number]))
    gone = dict.fromkeys(launched, "terminated")
    wait_until("all are gone", lambda: _states(account) == gone, LIMIT_S)
    assert _living(cloud) == set()
    assert cloud.audit()[0] == 0, cloud.audit()[1]
    _check_the_books(cloud)


def _launch(cloud, ec2) -> str:
    """botocore makes one ClientToken for a call and keeps it over its retries."""
    answer = ec2.run_instances(
        ImageId=cloud.image_id, InstanceType="t2.nano", MinCount=1, MaxCount=1
    )
    return answer["Instances"][0]["InstanceId"]


def _terminate(ec2, instance_id: str) -> None:
    ec2.terminate_instances(InstanceIds=[instance_id])


def _amid_kills(cloud, services: list[str], call) -> list:
    """Ten calls, three at a time, while services are killed and started thrice; their answers."""
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(call, number) for number in range(COUNT)]
        for answered in KILLED_AT:
            wait_until(
                f"{answered} answers",
                lambda: sum(one.done() for one in calls) >= answered,  # noqa: B023
                LIMIT_S,
            )
            for act in (cloud.kill, cloud.start):
                for service in services:
                    act(service)
        return [one.result(LIMIT_S) for one in calls]


def _states(account) -> dict[str, str]:
    """Nothing while the service that was killed last comes up again."""
    try:
        return account.states()
    except (BotoCoreError, ClientError):
        return {}


def _living(cloud) -> set[str]:
    return {name for name, guest in cloud.guests().items() if guest["power"] == "running"}


def _check_the_books(cloud) -> None:
    """What the simulation asks of its database, asked of this one."""

    class World:
        records = Records(cloud.files.folder / "controller" / "pileus.db")
        ratios = {"vcpus": 16.0, "memory_mib": 1.5, "disk_gib": 1.0}

    check(
        World,
        (
            claims.no_host_is_oversubscribed,
            claims.host_usage_is_the_sum_of_the_living,
            claims.quota_usage_is_the_sum_of_the_living,
            claims.a_private_address_has_one_owner,
            claims.a_public_address_has_one_owner,
        ),
    )
    World.records.close()
