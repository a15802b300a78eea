"""`python -m bench` where what it needs is not installed: a sentence, and no trace."""

import os
import subprocess
import sys

import pytest

import bench.__main__ as command
from tests.harness.installation import ROOT


def run(folder, *words: str, without: tuple[str, ...]) -> subprocess.CompletedProcess:
    """``python -m bench`` in which some modules cannot be found."""
    hidden = f"""
import importlib.abc, sys

class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in {without!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hidden())
"""
    (folder / "sitecustomize.py").write_text(hidden)
    return subprocess.run(
        [sys.executable, "-m", "bench", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_list_needs_nothing(tmp_path):
    done = run(tmp_path, without=("boto3", "botocore", "libvirt", "moto"))
    assert done.returncode == 0 and not done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == command.names()


@pytest.mark.parametrize(
    ("name", "module", "way"),
    [
        ("describe", "boto3", "-m pip install -r"),
        ("launch", "libvirt", "pileus up` as root builds libvirt-python"),
    ],
)
def test_what_is_missing_is_said_with_the_way_to_get_it(tmp_path, name, module, way):
    done = run(tmp_path, name, without=(module,))
    assert done.returncode == 2
    assert done.stderr.startswith(f"bench: the Python module {module} is missing here: ")
    assert way in done.stderr and len(done.stderr.splitlines()) == 1
