"""What a host has and the database does not know: it is an older copy of what was."""

import pytest

from controller.tables.hosts import Host
from protos.cloud.v1 import fleet_pb2, hosts_pb2, networks_pb2
from protos.errors import CloudError, Kind
from tests.unit.controller.cloud import Cloud

STRANGER = "i-0000000000000bad0"


@pytest.fixture
def cloud(tmp_path):
    return Cloud(tmp_path)


def say(cloud, observed: int, *, everything: bool = False, public_ip: str = "") -> None:
    """The host reports a guest that nobody here launched."""
    held = fleet_pb2.Holding(vcpus=2, memory_mib=512, disk_gib=8)
    if public_ip:
        held.addresses.add(address=public_ip)
    seen = fleet_pb2.Observation(
        kind="instance",
        id=STRANGER,
        role="guest",
        revision=5,
        sequence=cloud.host.next(),
        instance=fleet_pb2.InstanceSeen(observed=observed),
        holding=held,
    )
    report = cloud.host.report()
    report.observations.append(seen)
    if everything:
        report.ClearField("acknowledged_epoch")
    cloud.host.take_in(cloud.fleet(cloud.host.host_id).Report(report))


def used(cloud) -> tuple[int, int, int]:
    with cloud.db.read() as session:
        row = session.one(Host.select())
        return row.vcpus_used, row.memory_mib_used, row.disk_gib_used


def unknown(cloud) -> list[str]:
    caller = cloud.alice.caller()
    caller = type(caller)(account_id=caller.account_id, operator=True)
    hosts = cloud.client("Hosts").List(hosts_pb2.ListHostsRequest(), caller=caller).hosts
    return list(hosts[0].unknown)


def test_it_is_shown_and_counted_once_until_its_host_says_that_it_is_gone(cloud, caplog):
    for _ in range(3):
        say(cloud, fleet_pb2.OBSERVED_RUNNING, everything=True)
        say(cloud, fleet_pb2.OBSERVED_RUNNING)
    assert unknown(cloud) == [STRANGER]
    assert used(cloud) == (2, 512, 8)
    assert len(cloud.discrepancies()) == 1 and STRANGER in cloud.discrepancies()[0]
    assert caplog.text.count(f"has the instance {STRANGER}") == 1
    say(cloud, fleet_pb2.ABSENT)
    assert (unknown(cloud), used(cloud), cloud.discrepancies()) == ([], (0, 0, 0), [])


def test_it_is_gone_when_its_host_says_everything_without_it(cloud):
    say(cloud, fleet_pb2.OBSERVED_RUNNING)
    cloud.host.heartbeat()
    assert unknown(cloud) == [STRANGER], "what is acknowledged is not said again"
    cloud.host.acknowledged = (0, 0)
    cloud.host.heartbeat()
    assert (unknown(cloud), used(cloud)) == ([], (0, 0, 0))


def test_its_public_address_cannot_be_had_by_name_either(cloud):
    address = "100.64.0.77"
    say(cloud, fleet_pb2.OBSERVED_RUNNING, public_ip=address)
    ask = networks_pb2.AllocateAddressRequest(domain="vpc", address=address)
    with pytest.raises(CloudError) as caught:
        cloud.client("Addresses").Allocate(ask, caller=cloud.alice.caller())
    assert caught.value.kind is Kind.NOT_FOUND
    say(cloud, fleet_pb2.ABSENT)
    assert cloud.client("Addresses").Allocate(ask, caller=cloud.alice.caller()).public_ip == address
