"""The bootstrap's decisions: what a command needs of the machine."""

import json
import subprocess
import sys

import pytest

from cli import bootstrap


@pytest.mark.parametrize(
    ("arguments", "real"),
    [
        (["up"], True),
        (["up", "--hypervisor", "qemu"], True),
        (["up", "--hypervisor", "fake"], False),
        (["up", "--hypervisor=fake", "--detach"], False),
        (["up", "--help"], False),
        (["status"], False),
        (["test"], True),
        ([], False),
    ],
)
def test_which_commands_need_libvirt(tmp_path, arguments, real):
    if arguments[:1] == ["up"]:
        arguments = [*arguments, "--state-dir", str(tmp_path)]
    assert bootstrap.wants_real_guests(arguments) is real


def test_a_cloud_that_is_there_says_what_it_needs(tmp_path):
    (tmp_path / "cloud.json").write_text(json.dumps({"hypervisor": "fake"}))
    assert not bootstrap.wants_real_guests(["up", "--state-dir", str(tmp_path)])
    assert not bootstrap.wants_real_guests(["up", f"--state-dir={tmp_path}"])


def test_libvirt_python_follows_the_machine():
    wanted = bootstrap.requirements(["host"], "9.0.0")
    assert "libvirt-python==9.0.0" in wanted and any(one.startswith("flask") for one in wanted)
    assert not any("libvirt" in one for one in bootstrap.requirements([], ""))


def test_it_needs_nothing_but_the_standard_library():
    program = f"import sys; sys.path.insert(0, {str(bootstrap.ROOT)!r}); import cli.bootstrap"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
