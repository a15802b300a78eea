"""Several ``pileus up`` at the same moment, and some that are killed: never a cloud by halves.

Whatever happened to an ``up``, ``down --destroy`` ends its cloud, and nothing is left of it.
"""

import os
import signal
import tempfile
from pathlib import Path

import pytest

from tests.harness.typed import LIMIT_S, Typed, free_port
from tests.harness.waiting import wait_until

FAKE = ("up", "--detach", "--hypervisor", "fake")


@pytest.fixture
def cloud():
    """A folder for a cloud; what is in it at the end of the test is destroyed."""
    with tempfile.TemporaryDirectory(prefix="pileus-") as folder:
        made = Typed(Path(folder))
        yield made
        made.pileus("down", "--destroy")


neighbour = cloud  # one more of them


def gone(cloud: Typed) -> bool:
    return not cloud.processes() and not cloud.state.exists()


def ended(running) -> tuple[int, str]:
    said, _ = running.communicate(timeout=LIMIT_S)
    return running.returncode, said


def kill_after(step: str, up) -> None:
    """SIGKILL as soon as ``up`` says that a step is done."""
    said = []
    with up.stdout:
        while not (said and step in said[-1]):
            said.append(up.stdout.readline())
            assert said[-1], f"{step} was never done: {''.join(said)}"
        up.kill()
    up.wait()


def test_one_state_dir_brought_up_thrice_is_one_cloud(cloud):
    port = free_port()
    runs = [cloud.start(*FAKE, "--port", port) for _ in range(3)]
    answers = [ended(run) for run in runs]
    assert [code for code, _ in answers] == [0, 0, 0], answers
    assert sum("✓ first account  made" in said for _, said in answers) == 1
    assert sum("running already" in said for _, said in answers) == 2
    assert len(cloud.pileus("host", "list").splitlines()) == 1
    supervisors = [
        pid
        for pid in cloud.processes()
        if b"supervisor.supervisord" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    assert len(supervisors) == 1


def test_two_clouds_that_want_one_port(cloud, neighbour):
    """One gets it; the other is refused before it has made anything."""
    port = free_port()
    clouds = [cloud, neighbour]
    answers = [ended(run) for run in [one.start(*FAKE, "--port", port) for one in clouds]]
    assert sorted(code for code, _ in answers) == [0, 1], answers
    for one, (code, said) in zip(clouds, answers, strict=True):
        if code == 0:
            one.pileus("status")
        else:
            assert f"port {port} of 127.0.0.1 is taken" in said and gone(one)


@pytest.mark.parametrize("step", ["machine", "certificates", "first account", "services"])
def test_an_up_that_is_killed_leaves_nothing_that_cannot_be_ended(cloud, step):
    """Killed when it has said that a step is done: amid the next one."""
    kill_after(step, cloud.start(*FAKE, "--port", free_port()))
    cloud.pileus("down", "--destroy")
    assert gone(cloud)


def test_a_killed_up_is_run_again(cloud):
    port = free_port()
    kill_after("services", cloud.start(*FAKE, "--port", port))
    assert "ready" in cloud.pileus(*FAKE, "--port", port)
    cloud.pileus("status")


def test_what_does_not_come_up_is_stopped_again(cloud):
    (cloud.state / "extra").mkdir(parents=True)
    (cloud.state / "extra" / "gateway.toml").write_text("colour = 1\n")
    said = cloud.pileus(*FAKE, "--port", free_port(), expect=1)
    assert "unknown: colour" in said and "stopped again" in said
    assert cloud.processes() == []


def test_a_supervisor_without_its_socket_is_found(cloud):
    """As one is that was removed from under it, or that has not begun to listen."""
    cloud.pileus(*FAKE, "--port", free_port())
    (cloud.state / "run" / "supervisor.sock").unlink()
    (cloud.state / "cloud.json").unlink()
    cloud.pileus("down", "--destroy")
    assert gone(cloud)


def test_up_and_down_at_the_same_moment(cloud):
    port = free_port()
    cloud.pileus(*FAKE, "--port", port)
    down, up = cloud.start("down", "--destroy"), cloud.start(*FAKE, "--port", port)
    answers = [ended(down), ended(up)]
    assert [code for code, _ in answers] == [0, 0], answers
    if cloud.state.exists():  # up came last
        cloud.pileus("status")
    else:
        assert cloud.processes() == []


def test_a_service_that_is_killed_with_its_supervisor_leaves_a_cloud_that_can_be_ended(cloud):
    cloud.pileus(*FAKE, "--port", free_port())
    for pid in cloud.processes():
        os.kill(pid, signal.SIGKILL)
    wait_until("all are dead", lambda: not cloud.processes())
    cloud.pileus("down", "--destroy")
    assert gone(cloud)
