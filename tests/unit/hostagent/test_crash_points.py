"""The power is cut at every commit and every step of an instance's life in turn; then everything
comes out as if it had not been, and nothing is left behind.
"""

import pytest

from protos.cloud.v1.fleet_pb2 import STOPPED, TERMINATED
from tests.unit.hostagent.rig import Rig, host_spec, instance


class Cut(BaseException):
    """The power is gone; no handler outlives it."""


def life(revision: int) -> list:
    """What the controller wants at each point of two instances' lives."""
    return [
        [instance("i-1", 1), instance("i-2", 1)],
        [instance("i-1", 2, reboots=1)],
        [instance("i-1", 3, desired=STOPPED, reboots=1)],
        [instance("i-1", 4, starts=2, reboots=1), instance("i-2", 4, desired=TERMINATED)],
        [instance("i-1", 5, desired=TERMINATED, starts=2, reboots=1)],
    ][:revision]


def wanted_after(revision: int) -> list:
    """The whole truth: the newest of each instance, and of the host."""
    newest = {}
    for specs in life(revision):
        newest.update({spec.instance_id: spec for spec in specs})
    return list(newest.values())


def live(rig: Rig, revisions: int) -> None:
    """Tells the agent of each revision, hears its reports, lets time pass."""
    for revision in range(1, revisions + 1):
        rig.tell(*life(revision)[-1], base=revision - 1, position=revision)
        rig.pass_ms(200)
        rig.acknowledge()


def count_checkpoints(tmp_path) -> int:
    passed = []
    rig = Rig(tmp_path, checkpoint=passed.append)
    live(rig, 5)
    assert rig.is_bare()
    return len(passed)


def cut_at(number: int):
    left = [number]

    def checkpoint(name: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Cut(name)

    return checkpoint


@pytest.mark.parametrize("what", ["agent", "machine"])
@pytest.mark.parametrize("revisions", [1, 3, 4, 5])
def test_cut_at_every_point(tmp_path, what, revisions):
    (tmp_path / "count").mkdir()
    points = count_checkpoints(tmp_path / "count")
    assert points > 60
    for point in range(1, points + 1):
        folder = tmp_path / str(point)
        folder.mkdir()
        rig = None
        try:
            rig = Rig(folder, checkpoint=lambda name: None)
            rig.checkpoint = cut_at(point)
            live(rig, revisions)
        except Cut:
            pass
        rig.checkpoint = lambda name: None
        recover(rig, what, revisions)
        check(rig, revisions, point)


def recover(rig: Rig, what: str, revisions: int) -> None:
    """Back again; the controller says what it has always said, and hears all that there is."""
    if what == "machine":
        rig.power_failure()
    else:
        rig.restart()
    rig.pass_ms(300)
    known = rig.ledger.position
    late = [told for told in wanted_after(revisions) if told.revision > known]
    rig.agent.take_in(host_spec(*late, position=revisions, base=known))
    rig.pass_ms(60_000)
    rig.acknowledge()


def check(rig: Rig, revisions: int, point: int) -> None:
    observed = {name: rig.observed(name) for name in ("i-1", "i-2")}
    expected = {
        1: {"i-1": "OBSERVED_RUNNING", "i-2": "OBSERVED_RUNNING"},
        3: {"i-1": "OBSERVED_STOPPED", "i-2": "OBSERVED_RUNNING"},
        4: {"i-1": "OBSERVED_RUNNING", "i-2": "forgotten"},
        5: {"i-1": "forgotten", "i-2": "forgotten"},
    }[revisions]
    assert observed == expected, f"cut at checkpoint {point}"
    running = {name for name, state in expected.items() if state == "OBSERVED_RUNNING"}
    assert {name for name in expected if rig.power(name) == "running"} == running
    assert set(rig.hypervisor.state.guests) == running
    assert set(rig.network.ports) == {f"eni-{name}" for name in running}
    here = {name for name, state in expected.items() if state != "forgotten"}
    disks = set(rig.volumes.made)  # one that was never brought up before its stop has none yet
    assert {f"vol-{name}" for name in running} <= disks <= {f"vol-{name}" for name in here}
    assert {spec.instance_id for spec in rig.network.tenants.get("vpc-1", [])} == here
    if not here:
        assert rig.is_bare()
    assert rig.findings() == []
