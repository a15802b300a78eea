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


def test_libvirt_python_follows_the_machine(capsys):
    locked = bootstrap.libvirt_requirement("9.0.0")
    assert locked == ["--requirement", "requirements/libvirt-python/9.0.0.txt"]
    assert not capsys.readouterr().out
    assert bootstrap.libvirt_requirement("99.1.0") == ["libvirt-python==99.1.0"]
    assert "digest is not checked" in capsys.readouterr().out


def test_it_needs_nothing_but_the_standard_library():
    program = f"import sys; sys.path.insert(0, {str(bootstrap.ROOT)!r}); import cli.bootstrap"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("line", "stage"),
    [
        ("Collecting grpcio>=1.66", "looking for grpcio"),
        ("  Downloading grpcio_tools-1.66-cp311-linux.whl (2 MB)", "downloading grpcio_tools"),
        ("  Downloading https://files.example/ab/lxml-5.0-cp311.whl (5 MB)", "downloading lxml"),
        (
            "  Building wheel for libvirt-python (pyproject.toml): started",
            "building libvirt-python",
        ),
        ("Installing collected packages: a, b", "installing collected packages"),
        (
            "Get:12 http://deb.debian.org/debian b/main amd64 dnsmasq-base amd64 2.9",
            "downloading dnsmasq-base",
        ),
        ("Unpacking nftables (1.0.6) ...", "unpacking nftables"),
        ("Setting up qemu-utils (1:7.2) ...", "setting up qemu-utils"),
        ("WARNING: Running pip as the 'root' user can result in broken permissions", ""),
        ("", ""),
    ],
)
def test_what_installers_are_at(line, stage):
    assert bootstrap.stage_of(line) == stage


def test_an_installers_noise_goes_into_a_log(tmp_path, capfd):
    script = "echo Collecting flask; echo WARNING: noise >&2"
    bootstrap.install(["sh", "-c", script], "1 Python package", tmp_path / "log")
    shown, errors = capfd.readouterr()
    assert "installing 1 Python package" in shown and "installed" in shown and not errors
    assert "noise" not in shown and "WARNING: noise" in (tmp_path / "log").read_text()


def test_an_installer_that_fails_is_quoted(tmp_path, capfd):
    script = "seq 100; echo ERROR: no such thing; exit 3"
    with pytest.raises(bootstrap.Refusal) as refused:
        bootstrap.install(["sh", "-c", script], "1 Python package", tmp_path / "log")
    said = str(refused.value).splitlines()
    assert said[-1] == "ERROR: no such thing" and str(tmp_path / "log") in said[0]
    assert "12" not in said and len(said) == 1 + bootstrap.TAIL_LINES
    assert "failed" in capfd.readouterr().out


def test_how_far_it_is_on_a_terminal_and_elsewhere(capsys):
    on_terminal = bootstrap.Telling("x", terminal=True)
    on_terminal.at("downloading flask", 1.2)
    on_terminal.end("installed", 2.0)
    shown = capsys.readouterr().out
    assert "\r\033[K     1 s  downloading flask\r\033[K     2 s  installed\n" in shown
    in_a_file = bootstrap.Telling("x", terminal=False)
    for second in range(40):
        in_a_file.at("downloading flask", float(second))
    assert capsys.readouterr().out.count("downloading flask") == 2


def test_help_for_the_tests_installs_nothing():
    done = subprocess.run(
        [sys.executable, "-P", "-I", "-S", bootstrap.ROOT / "cli" / "bootstrap.py", "test", "-h"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and done.stdout == bootstrap.TEST_HELP and not done.stderr
    assert all(f"-e {name}" in done.stdout for name in ("lint", "unit", "clients", "real"))


def test_help_behind_two_dashes_is_pytests():
    assert bootstrap.asks_for_help(["-e", "unit", "--help"])
    assert not bootstrap.asks_for_help(["-e", "unit", "--", "--help"])
