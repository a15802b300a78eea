"""``./pileus lock [--upgrade]``: pins every Python package, with the digests of its files.

Reads the dependencies that pyproject.toml names and writes ``requirements/NAME.txt``, one file for
each purpose (LOCKS). A file holds what its packages need, too, for every Python from LOWEST_PYTHON
on; a package has the same version in all files. Versions that are locked stay unless pyproject.toml
no longer allows them; with ``--upgrade`` all of them move to the newest that it allows.

Called by cli/bootstrap.py, which installs uv first. uv asks the package index that its own settings
name (UV_DEFAULT_INDEX); the files do not say where a package comes from.
"""

import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cli.bootstrap import LIBVIRT_LOCKS, LIBVIRT_PYTHON, LOCK_FILES, ROOT

LOWEST_PYTHON = "3.11"
# Of Debian 12, Ubuntu 24.04 and Debian 13: libvirt-python must be of the machine's libvirt.
LIBVIRT_VERSIONS = ("9.0.0", "10.0.0", "11.3.0")
MADE_BY = "# Made by `./pileus lock` from pyproject.toml, never by hand (docs/decisions/0307)."
# The files, and the tables of pyproject.toml that each covers, with what those packages need.
LOCKS = {
    "run": ("What the services and the CLI need.", "dependencies"),
    "host": ("What a host with real guests needs besides.", "host", "build-system"),
    "test": ("What the tests need besides.", "test"),
    "clients": ("The clients that tests/clients runs.", "clients"),
    "bench": ("What the benchmarks need besides.", "bench"),
    "lint": ("What looks at the source.", "lint"),
    "tox": ("What `./pileus test` runs the tests with.", "tox"),
    "lock": ("What `./pileus lock` makes these files with.", "lock"),
}


def main(arguments: Sequence[str]) -> int:
    if list(arguments) not in ([], ["--upgrade"]):
        print("Usage: ./pileus lock [--upgrade]", file=sys.stderr)
        return 2
    wanted = named(tomllib.loads((ROOT / "pyproject.toml").read_text()))
    texts = {}
    with tempfile.TemporaryDirectory() as folder:
        # First all of it at once, so that a package gets one version; then each file out of that.
        everything = Path(folder) / "everything.txt"
        if not arguments:
            everything.write_text("".join(path.read_text() for path in LOCK_FILES.glob("*.txt")))
        choose([one for some in wanted.values() for one in some], "--output-file", str(everything))
        for name, (what, *_) in LOCKS.items():
            text = choose(wanted[name], "--constraint", str(everything))
            texts[LOCK_FILES / f"{name}.txt"] = head(what, "--only-binary :all:") + text
    for version in LIBVIRT_VERSIONS:
        text = choose([f"{LIBVIRT_PYTHON}=={version}"], "--no-deps")
        texts[LIBVIRT_LOCKS / f"{version}.txt"] = head(f"For libvirt {version}.") + text
    for path, text in texts.items():
        path.write_text(text)
    print(f"pileus: {len(texts)} files in {LOCK_FILES} are up to date")
    return 0


def named(pyproject: dict[str, Any]) -> dict[str, list[str]]:
    """The requirements of each file of LOCKS as pyproject.toml has them, but libvirt-python."""
    project = pyproject["project"]
    tables = {
        "build-system": pyproject["build-system"]["requires"],
        "dependencies": project["dependencies"],
        **project["optional-dependencies"],
        **pyproject["dependency-groups"],
    }
    return {
        name: [one for table in chosen for one in tables[table] if one != LIBVIRT_PYTHON]
        for name, (_, *chosen) in LOCKS.items()
    }


def choose(requirements: list[str], *options: str) -> str:
    """Has uv choose versions for these requirements and what they need.

    Returns the text of a requirements file with digests. Raises SystemExit where uv fails, which
    has said why.
    """
    command = [str(Path(sys.executable).parent / "uv"), "pip", "compile", "--quiet", "--universal"]
    command += ["--python-version", LOWEST_PYTHON, "--generate-hashes"]
    command += ["--no-header", "--no-annotate"]  # they would name this run's temporary folder
    done = subprocess.run(
        [*command, *options, "-"],
        input="\n".join(requirements),
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    if done.returncode != 0:
        raise SystemExit("pileus: uv found no versions that fit; its own words are above")
    return done.stdout


def head(*what: str) -> str:
    """The first lines of a file: what it is, and pip's options for it."""
    lines = [f"# {what[0]}", MADE_BY, "--require-hashes", *what[1:]]
    return "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
