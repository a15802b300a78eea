"""The controller hears when an instance's network, its metadata service among it, follows its
newest spec: it shows changed options as applied by that alone."""

from protos.cloud.v1.fleet_pb2 import STOPPED
from tests.unit.hostagent.rig import instance


def wanted(revision, tokens="optional", **fields):
    spec = instance("i-1", revision, **fields)
    spec.intent_revision = 1
    spec.metadata.options.http_tokens = tokens
    return spec


def tell(rig, spec):
    return rig.tell(spec, base=rig.ledger.position)


def reported(rig) -> int:
    (observation,) = rig.said().values()
    return observation.instance.network_revision


def tokens(rig) -> list[str]:
    return [each.metadata.options.http_tokens for each in rig.network.tenants["vpc-1"]]


def test_a_running_guests_metadata_service_follows(rig):
    tell(rig, wanted(1))
    assert (reported(rig), tokens(rig)) == (1, ["optional"])
    rig.acknowledge()
    tell(rig, wanted(2, "required"))
    assert (reported(rig), tokens(rig)) == (2, ["required"])
    assert rig.observed() == "OBSERVED_RUNNING"


def test_what_cannot_be_made_is_not_said_to_be(rig):
    tell(rig, wanted(1))
    rig.network.failures = 2.0  # at the beginning of every call
    tell(rig, wanted(2, "required"))
    assert reported(rig) == 1
    rig.network.failures = 0.0
    rig.pass_ms(60_000)
    assert (reported(rig), tokens(rig)) == (2, ["required"])


def test_a_stopped_instance_gets_it_with_its_next_start(rig):
    tell(rig, wanted(1, desired=STOPPED))
    rig.pass_ms(60_000)
    tell(rig, wanted(2, "required", desired=STOPPED))
    assert (rig.observed(), reported(rig)) == ("OBSERVED_STOPPED", 2)
