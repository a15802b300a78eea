"""The network interfaces of a running guest follow its spec."""

from hostagent.compute.hypervisors.fake_guests import Faults
from protos.cloud.v1 import fleet_pb2
from protos.cloud.v1.fleet_pb2 import STOPPED
from tests.unit.hostagent.rig import instance

SECOND = "eni-2"


def wanted(revision, *names, **fields):
    """i-1 with its primary interface and these."""
    spec = instance("i-1", revision, **fields)
    spec.intent_revision = 1
    for index, name in enumerate(names, 1):
        nic = fleet_pb2.NicSpec()
        nic.CopyFrom(spec.nics[0])
        nic.network_interface_id, nic.device_index = name, index
        spec.nics.append(nic)
    return spec


def tell(rig, spec):
    return rig.tell(spec, base=rig.ledger.position)


def has(rig):
    return {nic.network_interface_id for nic in rig.hypervisor.nics("i-1")}


def revision(rig):
    return rig.ledger.instances.get("i-1").progress.devices_revision


def failures(rig):
    return rig.ledger.instances.get("i-1").progress.device_failures


def test_a_new_guest_has_them_all(rig):
    tell(rig, wanted(1, SECOND))
    assert has(rig) == {"eni-i-1", SECOND}
    assert rig.network.ports == {"eni-i-1": True, SECOND: True}
    assert revision(rig) == 1


def test_attached_and_let_go_of_while_it_runs(rig):
    tell(rig, wanted(1))
    tell(rig, wanted(2, SECOND))
    assert has(rig) == {"eni-i-1", SECOND}
    assert rig.network.ports == {"eni-i-1": True, SECOND: True}
    assert revision(rig) == 2
    tell(rig, wanted(3))
    rig.pass_ms(1)
    assert has(rig) == {"eni-i-1"}
    assert rig.network.ports == {"eni-i-1": True}
    assert revision(rig) == 3
    assert rig.observed() == "OBSERVED_RUNNING"


def test_a_guest_that_does_not_let_go_is_cut_off_and_busy(rig):
    tell(rig, wanted(1, SECOND))
    rig.hypervisor.state.guests["i-1"].deaf = True
    tell(rig, wanted(2))
    rig.pass_ms(59_000)
    assert (revision(rig), failures(rig)) == (1, ())
    assert SECOND not in rig.network.ports
    rig.pass_ms(2_000)
    ((name, _, busy),) = failures(rig)
    assert (revision(rig), name, busy) == (2, SECOND, True)
    rig.hypervisor.state.guests["i-1"].deaf = False
    rig.pass_ms(12_000)
    assert (has(rig), failures(rig)) == ({"eni-i-1"}, ())


def test_one_that_was_forgotten_is_let_go_of_and_given_anew(rig):
    tell(rig, wanted(1))
    rig.hypervisor.faults = Faults(forgets=1.0)
    tell(rig, wanted(2, SECOND))
    rig.hypervisor.faults = Faults()
    rig.pass_ms(12_000)
    assert not any(nic.untracked for nic in rig.hypervisor.nics("i-1"))
    assert (has(rig), failures(rig)) == ({"eni-i-1", SECOND}, ())
    assert rig.network.ports == {"eni-i-1": True, SECOND: True}


def test_one_that_cannot_be_attached_harms_no_other(rig):
    tell(rig, wanted(1))
    rig.network.failures = 1.0
    tell(rig, wanted(2, SECOND))
    rig.pass_ms(30_000)
    assert [each.id for each in failures(rig)] == [SECOND]
    assert rig.observed() == "OBSERVED_RUNNING"
    rig.network.failures = 0.0
    rig.pass_ms(60_000)
    assert (has(rig), failures(rig)) == ({"eni-i-1", SECOND}, ())
    assert rig.network.ports == {"eni-i-1": True, SECOND: True}


def test_a_new_agent_finds_a_change_that_was_cut(rig):
    """Attached to the guest, but not yet joined to its subnet."""
    tell(rig, wanted(1))
    port = rig.network.ensure_port(wanted(2, SECOND).nics[1])
    rig.hypervisor.attach_nic("i-1", port)
    rig.restart()
    tell(rig, wanted(2, SECOND))
    rig.pass_ms(1)
    assert rig.network.ports == {"eni-i-1": True, SECOND: True}
    assert revision(rig) == 2


def test_a_new_agent_asks_again(rig):
    tell(rig, wanted(1, SECOND))
    rig.hypervisor.state.guests["i-1"].deaf = True
    tell(rig, wanted(2))
    rig.hypervisor.state.guests["i-1"].deaf = False
    rig.restart()
    rig.pass_ms(2_000)
    assert (has(rig), revision(rig)) == ({"eni-i-1"}, 2)
    assert rig.network.ports == {"eni-i-1": True}


def test_a_stopped_guest_gets_it_with_its_next_start(rig):
    tell(rig, wanted(1))
    tell(rig, wanted(2, desired=STOPPED))
    rig.pass_ms(60_000)
    tell(rig, wanted(3, SECOND, desired=STOPPED))
    assert revision(rig) == 3
    tell(rig, wanted(4, SECOND, starts=2))
    assert has(rig) == {"eni-i-1", SECOND}
    tell(rig, wanted(5, SECOND, starts=2, desired=STOPPED))
    rig.pass_ms(60_000)
    assert rig.network.ports == {}
