"""A user who is not root, on a machine whose cloud root runs: told what to do."""

import contextlib
import functools
import io
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from cli import bootstrap, cloud
from cli.__main__ import main
from cli.errors import CliError
from cli.layout import Layout
from cli.progress import Progress
from protos.files import write_whole

NOBODY = 65534
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def as_nobody(act: Callable[[], str]) -> str:
    """What ``act`` answers in a process of a user who owns nothing."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        try:
            said = act()
        except BaseException as failure:
            said = f"{type(failure).__name__}: {failure}"
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with open(reader) as pipe:
        return pipe.read()


@pytest.fixture(scope="module", autouse=True)
def all_is_imported():
    """rich imports much when it first writes; the other user may not be able to read packages."""
    progress = Progress(Console(file=io.StringIO()))
    with contextlib.suppress(CliError), progress.step("a step"):
        raise CliError("that fails")


@pytest.fixture
def roots():
    """A state dir as root's `up` makes it: others can walk through, all else is root's."""
    with tempfile.TemporaryDirectory(prefix="pileus-") as folder:
        Path(folder).chmod(0o755)
        made = Layout.of(Path(folder) / "state", Path(folder) / "cache")
        made.make()
        write_whole(made.cloud, json.dumps({"version": cloud.VERSION}))
        yield made


def typed(*words: str) -> str:
    result = CliRunner().invoke(main, words)
    return f"{result.exit_code} {type(result.exception).__name__} {result.output}"


@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("env",),
        ("audit",),
        ("down",),
        ("down", "--destroy"),
        ("up", "--hypervisor", "fake"),
        ("account", "list"),
        ("key", "list"),
        ("quota", "list"),
        ("quota", "set", "vpcs", "9"),
        ("host", "list"),
        ("host", "join-token", "two"),
        ("image", "list"),
        ("image", "register", "http://images.example/x", "--name", "xyz"),
    ],
)
def test_roots_cloud_is_used_by_sudo(roots, command):
    said = as_nobody(functools.partial(typed, *command, "--state-dir", str(roots.root)))
    assert said.startswith("1 SystemExit "), said
    assert f"the cloud in {roots.root} is root's: run this command with sudo" in said


def test_who_names_no_state_dir_is_told_of_roots(roots):
    def look() -> str:
        cloud.refuse_if_roots_is_meant(Layout.of(None), roots.root)
        return "nothing"

    assert f"the cloud in {roots.root} is root's: run this command with sudo" in as_nobody(look)
    roots.cloud.unlink()
    assert as_nobody(look) == "nothing"


def test_who_names_another_state_dir_means_that_one(roots):
    other = Layout.of(roots.root / "other")
    cloud.refuse_if_roots_is_meant(other, roots.root)
    with pytest.raises(CliError, match="there is no cloud in"):
        cloud.require(other)


def test_what_root_has_installed_is_not_changed_by_another_user(roots):
    (roots.root / "log").write_text("")

    def install() -> str:
        bootstrap.require_writable(roots.root / "log", roots.root / "nothing-there")
        return "nothing"

    assert "is root's" in as_nobody(install) and "sudo ./pileus" in as_nobody(install)
    assert install() == "nothing"


def test_a_python_out_of_reach_is_no_python(roots):
    hidden = roots.root / "hidden"
    hidden.mkdir(mode=0o700)
    (roots.root / "bin").mkdir()
    (roots.root / "bin" / "python").symlink_to(hidden / "python")
    assert as_nobody(lambda: str(bootstrap.is_usable(roots.root))) == "False"


def test_real_guests_need_root():
    with tempfile.TemporaryDirectory(prefix="pileus-") as folder:
        Path(folder).chmod(0o777)
        state = str(Path(folder) / "state")
        said = as_nobody(lambda: typed("up", "--hypervisor", "qemu", "--state-dir", state))
        assert not Path(state, "cloud.json").exists()
    assert said.startswith("1 ") and "need root" in said, said
