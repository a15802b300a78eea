"""The VPCs on a host: made when needed, again when changed, gone with the last instance."""

import pytest

from hostagent.compute.instance_kind import INSTANCE
from hostagent.compute.progress import InstanceProgress
from hostagent.kernel.errors import DriverError
from hostagent.kernel.kinds import Change, Record
from hostagent.ledger import VPC, HostLedger, open_file
from hostagent.network.fake import FakeNetwork
from hostagent.network.vpc_kind import VpcProgress
from hostagent.network.vpcs import Vpcs
from protos.cloud.v1.fleet_pb2 import ABSENT, STOPPED, TERMINATED, VPC_FAILED, VPC_HERE, VpcSpec
from tests.unit.hostagent.rig import HOST, instance

AUDIT_MS, RETRY_MS = 1000, 10


class CountingNetwork(FakeNetwork):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def ensure_vpc(self, vpc, instances):
        self.calls += 1
        return super().ensure_vpc(vpc, instances)


class Host:
    def __init__(self):
        self.ledger = HostLedger(open_file(":memory:"), HOST, now_ms=1, boot_id="b")
        self.network = CountingNetwork()
        self.vpcs = Vpcs(self.ledger, self.network, audit_ms=AUDIT_MS, retry_ms=RETRY_MS)

    def tell(self, *told, vpc_revision=1, progress=InstanceProgress(), **vpc):
        change = Change(self.ledger)
        records = {one.instance_id: Record(one.spec, one.revision, progress) for one in told}
        change.keep(INSTANCE, records)
        spec = VpcSpec(vpc_id="vpc-1", **vpc)
        change.keep(VPC, {"vpc-1": Record(spec, vpc_revision, VpcProgress())})
        self.ledger.commit("take-in", change, vpc_revision)

    def seen(self):
        progress = self.ledger.vpcs.get("vpc-1").progress
        return progress.observed, progress.revision, progress.message

    def tenants(self):
        return [spec.instance_id for spec in self.network.tenants["vpc-1"]]


@pytest.fixture
def host():
    return Host()


def test_made_once_for_all_who_need_it(host):
    host.tell(instance("i-1"), instance("i-2"))
    host.vpcs.ensure("vpc-1")
    host.vpcs.ensure("vpc-1")
    assert host.network.calls == 1
    assert host.tenants() == ["i-1", "i-2"]


def test_made_again_when_the_vpc_or_a_tenant_changed(host):
    host.tell(instance("i-1"))
    host.vpcs.ensure("vpc-1")
    host.tell(vpc_revision=2, cidr_blocks=["10.0.0.0/16"])
    host.vpcs.ensure("vpc-1")
    assert list(host.network.made["vpc-1"].cidr_blocks) == ["10.0.0.0/16"]
    host.tell(instance("i-2", revision=3), vpc_revision=2)
    host.vpcs.ensure("vpc-1")
    assert host.tenants() == ["i-1", "i-2"]
    assert host.network.calls == 3
    assert host.seen() == (VPC_HERE, 2, "")


def test_whether_an_instance_should_run_is_none_of_its_business(host):
    host.tell(instance("i-1"))
    host.vpcs.ensure("vpc-1")
    host.tell(instance("i-1", revision=2, desired=STOPPED, reboots=3, starts=2))
    host.vpcs.ensure("vpc-1")
    assert host.network.calls == 1


def test_an_interface_that_was_taken_away_is_not_plugged_again(host):
    """By who looked at its instance before: the VPC has cut it off since."""
    (nic,) = instance("i-1").spec.nics
    host.tell(instance("i-1"))
    host.vpcs.ensure("vpc-1")
    host.network.ensure_port(nic)
    host.vpcs.plug(nic)
    assert host.network.is_plugged(nic)
    without = instance("i-1", revision=2)
    del without.spec.nics[:]
    host.tell(without)
    host.network.ensure_port(nic)
    host.vpcs.plug(nic)
    assert not host.network.is_plugged(nic)


def test_not_described_yet_is_a_passing_trouble(host):
    with pytest.raises(DriverError, match="not described") as failure:
        host.vpcs.ensure("vpc-9")
    assert failure.value.transient


def test_released_it_shrinks_and_goes_with_the_last(host):
    one, two = (instance(name, desired=TERMINATED) for name in ("i-1", "i-2"))
    host.tell(one, two)
    host.vpcs.ensure("vpc-1")
    host.vpcs.release(one)
    assert host.tenants() == ["i-2"]
    host.vpcs.release(two)
    assert host.network.made == {}
    assert host.vpcs.wanted() == set()


def test_an_absent_instance_needs_nothing_after_a_restart(host):
    host.tell(instance("i-1"), progress=InstanceProgress(observed=ABSENT))
    assert host.vpcs.wanted() == set()
    assert host.vpcs.step("vpc-1", 0) is None


def test_an_audit_believes_nothing(host):
    host.tell(instance("i-1"))
    assert host.vpcs.step("vpc-1", 0) == AUDIT_MS
    host.network.lose_power()
    assert host.vpcs.step("vpc-1", 1) == AUDIT_MS
    assert host.network.made == {}
    assert host.vpcs.step("vpc-1", AUDIT_MS) == 2 * AUDIT_MS
    assert set(host.network.made) == {"vpc-1"}


def test_a_failure_is_tried_again_soon(host):
    host.tell(instance("i-1"))
    host.network.failures = 2.0
    assert host.vpcs.step("vpc-1", 0) == RETRY_MS
    observed, revision, message = host.seen()
    assert (observed, revision, bool(message)) == (VPC_FAILED, 1, True)
    host.network.failures = 0.0
    assert host.vpcs.step("vpc-1", RETRY_MS) == AUDIT_MS
    assert host.seen() == (VPC_HERE, 1, "")
    assert set(host.network.made) == {"vpc-1"}
