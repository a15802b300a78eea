"""One run a state dir, one cloud a port; and nothing that is held outlives who held it."""

import os
import subprocess
import sys
import threading

import pytest

from cli.errors import CliError
from cli.layout import Layout
from cli.locks import Claims, alone
from cli.services import ROOT

HOLD = "import sys; print('here', flush=True); sys.stdin.read()"


@pytest.fixture
def layout(tmp_path) -> Layout:
    return Layout.of(tmp_path / "state")


def busy(layout: Layout) -> bool:
    try:
        with alone(layout, patience_s=0):
            return False
    except CliError as refusal:
        assert "another `pileus up` or `down` works on" in refusal.message
        return True


def test_a_second_run_is_refused_while_the_first_works(layout):
    with alone(layout):
        assert busy(layout)
    assert not busy(layout)


def test_a_second_run_waits_and_says_so_once(layout):
    ended, told = threading.Event(), []
    with alone(layout):
        (layout.root / "cloud.json").write_text("{}")

        def second():
            with alone(layout, lambda: (told.append("waits"), waits.set())):
                ended.set()

        waits = threading.Event()
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(10) and not ended.is_set()
    assert ended.wait(10) and told == ["waits"]
    thread.join()


def test_a_command_that_is_left_holds_the_lock_on(layout):
    """As that of an `up` which was killed: it still writes into the state dir."""
    with alone(layout) as locks:
        (layout.root / "cloud.json").write_text("{}")
        command = subprocess.Popen(
            [sys.executable, "-c", HOLD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=locks,
        )
        command.stdout.readline()
    assert busy(layout)
    command.communicate()
    assert not busy(layout)


def test_who_waits_does_not_get_a_folder_that_is_gone(layout):
    """The lock is the folder's; one of the same name made later is another folder."""
    with alone(layout):
        layout.root.rmdir()
        layout.root.mkdir()
        assert not busy(layout), "this one is nobody's"


def test_an_empty_folder_goes_with_the_lock(layout):
    with alone(layout):
        assert layout.root.exists()
    assert not layout.root.exists()
    with alone(layout):
        (layout.root / "x").write_text("")
    assert layout.root.exists()


def test_where_nothing_is_to_be_made_nothing_is(layout):
    with alone(layout, make=False) as locks:
        assert locks == ()
    assert not layout.root.exists()


def test_a_file_is_no_state_dir(layout):
    layout.root.write_text("")
    with pytest.raises(CliError, match="cannot be used"), alone(layout):
        pass


def test_a_name_is_claimed_once(tmp_path):
    name = f"port of {tmp_path.name} {os.getpid()}"
    with Claims() as mine, Claims() as theirs:
        assert mine.take(name) and mine.take(name), "again is no conflict"
        assert not theirs.take(name)
        assert theirs.take(f"{name}, another")
    with Claims() as later:
        assert later.take(name)


def test_claims_end_with_their_process():
    name = f"port of {os.getpid()}"
    program = f"from cli.locks import Claims; held = Claims(); assert held.take({name!r}); {HOLD}"
    command = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    command.stdout.readline()
    with Claims() as claims:
        assert not claims.take(name)
        command.kill()
        command.communicate()
        assert claims.take(name)
