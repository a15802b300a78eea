"""The supervisor: starts, restarts what dies, starts anew what has changed, stops."""

import functools
import os
import signal
import sys

import pytest

from cli import services
from cli.layout import Layout
from cli.services import Program
from tests.harness.waiting import wait_until

AtOnce = functools.partial(Program, start_s=0)
STAY = "import signal; print('here', flush=True); signal.pause()"
TIMEOUT_S = 20.0


def until(condition, what: str):
    return wait_until(what, condition, TIMEOUT_S, look_s=0.02)


@pytest.fixture
def layout(tmp_path_factory):
    made = Layout.of(tmp_path_factory.mktemp("s"))
    made.make()
    yield made
    services.stop(made)


def started(layout: Layout, programs) -> None:
    services.write_configuration(layout, programs)
    fresh = services.ensure_supervisor(layout)
    services.ensure_running(layout, programs, fresh)


def running(layout: Layout, name: str):
    state = services.states(layout).get(name)
    return state if state and state.running else None


def test_a_service_that_dies_is_restarted(layout):
    program = AtOnce("one", [sys.executable, "-c", STAY], priority=1)
    started(layout, [program])
    before = until(lambda: running(layout, "one"), "running")
    os.kill(before.pid, signal.SIGKILL)
    until(lambda: (now := running(layout, "one")) and now.pid != before.pid, "running again")
    until(lambda: "here" in services.tail(layout.logs / "one.log"), "it has said something")


def test_a_second_start_leaves_alone_what_has_not_changed(layout, tmp_path):
    config = tmp_path / "config"
    config.write_text("1")
    command = [sys.executable, "-c", STAY]
    programs = [
        AtOnce("with-config", command, priority=1, inputs=(config,)),
        AtOnce("without", command, priority=2),
    ]
    started(layout, programs)
    before = {
        name: until(lambda n=name: running(layout, n), name) for name in ("with-config", "without")
    }
    config.write_text("2")
    assert not services.ensure_supervisor(layout)
    assert services.ensure_running(layout, programs, fresh=False) == ["with-config"]
    after = {name: until(lambda n=name: running(layout, n), name) for name in before}
    assert after["with-config"].pid != before["with-config"].pid
    assert after["without"].pid == before["without"].pid


def test_programs_come_and_go(layout):
    command = [sys.executable, "-c", STAY]
    started(layout, [AtOnce("old", command, priority=1)])
    until(lambda: running(layout, "old"), "old")
    started(layout, [AtOnce("new", command, priority=1)])
    until(lambda: running(layout, "new"), "new")
    assert set(services.states(layout)) == {"new"}


def test_nothing_outlives_the_stop(layout):
    started(layout, [AtOnce("one", [sys.executable, "-c", STAY], priority=1)])
    pid = until(lambda: running(layout, "one"), "running").pid
    assert services.stop(layout)
    assert not services._alive(pid)
    assert not services.stop(layout)
    assert services.states(layout) == {}


def test_services_do_not_outlive_a_killed_supervisor(layout):
    started(layout, [AtOnce("one", [sys.executable, "-c", STAY], priority=1)])
    pid = until(lambda: running(layout, "one"), "running").pid
    supervisor = int((layout.run / "supervisord.pid").read_text())
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: not services._alive(pid), "the service ends")
    assert not services.is_supervised(layout)
    started(layout, [AtOnce("one", [sys.executable, "-c", STAY], priority=1)])
    until(lambda: running(layout, "one"), "running again")


def test_other_clouds_are_found(layout, tmp_path):
    started(layout, [AtOnce("one", [sys.executable, "-c", STAY], priority=1)])
    assert layout.root in services.running_elsewhere(Layout.of(tmp_path / "other"))
    assert layout.root not in services.running_elsewhere(layout)
