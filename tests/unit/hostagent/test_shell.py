"""Commands: what comes back, what is refused, what is killed."""

from pathlib import Path

import pytest

from hostagent.kernel.shell import CommandError, Limits, run, spawn
from tests.harness.waiting import wait_until


def test_gives_back_what_was_said():
    result = run(["sh", "-c", "cat; echo oops >&2"], input="hello")
    assert (result.stdout, result.stderr, result.returncode) == ("hello", "oops\n", 0)


def test_large_input_and_output_do_not_deadlock():
    text = "x" * 1_000_000
    assert run(["cat"], input=text).stdout == text


def test_failure_carries_stderr_and_code():
    with pytest.raises(CommandError, match="sh: ended with 3: no such thing") as failure:
        run(["sh", "-c", "echo no such thing >&2; exit 3"])
    assert failure.value.returncode == 3
    assert failure.value.transient


def test_accepted_exit_codes_are_answers():
    assert run(["sh", "-c", "exit 3"], accept=(0, 3)).returncode == 3


def test_missing_program_is_not_transient():
    with pytest.raises(CommandError, match="is not installed") as failure:
        run(["no-such-program-here"])
    assert not failure.value.transient


def test_time_limit_kills_children_too(tmp_path):
    with pytest.raises(CommandError, match=r"did not end within 0\.2 s"):
        run(["sh", "-c", f"sleep 60 & echo $! > {tmp_path}/child; wait"], timeout_s=0.2)
    child = int((tmp_path / "child").read_text())
    wait_until("the child's end", lambda: _is_gone(child))


def _is_gone(pid: int) -> bool:
    """Ended, whether its parent has taken note or not. SIGKILL takes the kernel a moment."""
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_endless_output_is_cut():
    with pytest.raises(CommandError, match="said more than 1000 bytes") as failure:
        run(["yes"], max_output_bytes=1000)
    assert not failure.value.transient


def test_a_command_that_does_not_read_its_input():
    assert run(["true"], input="x" * 1_000_000).returncode == 0


def test_memory_limit():
    with pytest.raises(CommandError):
        run(
            ["python3", "-c", "bytearray(600 * 1024 * 1024)"],
            limits=Limits(memory_mib=200, cpu_s=10),
        )


def test_environment_is_not_inherited():
    os_environment = run(["env"], env={"EXTRA": "1"}).stdout.splitlines()
    assert "EXTRA=1" in os_environment
    assert all(line.split("=")[0] in {"PATH", "LC_ALL", "EXTRA", "PWD"} for line in os_environment)


def test_spawned_program_writes_its_log(tmp_path):
    process = spawn(["sh", "-c", "echo started"], log=tmp_path / "log")
    assert process.wait(10) == 0
    assert (tmp_path / "log").read_text() == "started\n"
