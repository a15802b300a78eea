"""What is on the host and should not be: leftovers are cleared away, what is unknown never."""

from protos.cloud.v1.fleet_pb2 import TERMINATED, VpcSpec
from tests.unit.hostagent.rig import instance


def lived_and_gone(rig) -> None:
    rig.tell(instance())
    rig.tell(instance(revision=2, desired=TERMINATED), base=1)
    rig.acknowledge()
    rig.tell(position=3, base=2, vpcs=())
    assert rig.is_bare()


def put_back(rig) -> None:
    """Everything that a guest needs, made behind the ledger's back."""
    spec = instance()
    rig.network.ensure_vpc(VpcSpec(vpc_id="vpc-1"), [])
    rig.volumes.made[spec.disks[0].volume_id] = 1
    rig.hypervisor.create_paused(spec, [], [], rig.consoles / "i-1.log")
    (rig.consoles / "i-1.log").write_text("login: ")
    (rig.consoles / "i-1.log.0").write_text("older")


def test_leftovers_are_named_and_cleared_at_the_start(rig):
    lived_and_gone(rig)
    put_back(rig)
    findings = {(finding.kind, finding.name, finding.ours) for finding in audit(rig)}
    assert findings == {
        ("domain", "i-1", True),
        ("vpc", "vpc-1", True),
        ("volume", "vol-i-1", True),
        ("console", "i-1", True),
    }
    rig.restart()
    rig.run()
    assert rig.is_bare()
    assert audit(rig) == []


def test_what_is_of_unknown_origin_is_named_and_left_alone(rig):
    put_back(rig)
    assert {finding.ours for finding in audit(rig)} == {False}
    rig.restart()
    rig.run()
    assert list(rig.agent.report().orphans) == ["i-1"]
    assert len(audit(rig)) == 4


def test_what_belongs_is_no_finding(rig):
    rig.tell(instance())
    rig.hypervisor.state.guests["i-1"].console = ""
    assert audit(rig) == []


def test_a_leftover_that_resists_is_tried_again(rig):
    lived_and_gone(rig)
    rig.volumes.made["vol-i-1"] = 1
    rig.volumes.failures = 1.0
    rig.restart()
    rig.run()
    assert "vol-i-1" in rig.volumes.made
    rig.volumes.failures = 0.0
    rig.pass_ms(60_000)
    assert rig.is_bare()


def test_a_leftover_that_is_being_worked_on_hinders_nothing_else(rig):
    lived_and_gone(rig)
    put_back(rig)
    rig.restart()
    with rig.held_elsewhere("vol-i-1"):
        rig.run()
        assert [finding.kind for finding in rig.findings()] == ["volume"]
    rig.pass_ms(60_000)
    assert rig.is_bare()


def audit(rig):
    return rig.findings()


def test_an_attached_second_disk_belongs_too(rig):
    spec = instance()
    spec.disks.add(volume_id="vol-data", size_bytes=1, delete_on_termination=True)
    spec.nics.add(network_interface_id="eni-2", vpc_id="vpc-1")
    rig.tell(spec)
    assert audit(rig) == []
