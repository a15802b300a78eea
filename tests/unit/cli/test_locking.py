"""The locked packages are those of pyproject.toml, with digests, and pip refuses any other file."""

import re
import subprocess
import sys
import tomllib
import zipfile
from hashlib import sha256

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cli import bootstrap, locking

PYPROJECT = tomllib.loads((bootstrap.ROOT / "pyproject.toml").read_text())
FILES = sorted(bootstrap.LOCK_FILES.rglob("*.txt"))
PYTHONS = ("3.11", "3.12", "3.13")
ENTRY = re.compile(
    r"^([\w.\[\],-]+==[^\n\\]+?) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.M
)


def locked(name: str, python: str) -> dict[str, str]:
    """{package: version} that a file of requirements/ installs on this Python."""
    environment = {
        **default_environment(),
        "python_version": python,
        "python_full_version": f"{python}.1",
    }
    entries = ENTRY.findall((bootstrap.LOCK_FILES / f"{name}.txt").read_text())
    found = {}
    for entry in (Requirement(text) for text, _ in entries):
        if entry.marker is None or entry.marker.evaluate(environment):
            assert entry.name not in found, f"{entry.name} twice for {python}"
            found[entry.name] = str(entry.specifier).removeprefix("==")
    return found


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", locking.LOCKS)
def test_the_lock_has_what_pyproject_names(name, python):
    """If this fails, pyproject.toml has changed since the last `./pileus lock`: run it."""
    versions = locked(name, python)
    for wanted in map(Requirement, locking.named(PYPROJECT)[name]):
        if wanted.marker is None or wanted.marker.evaluate({"python_version": python}):
            version = versions.get(canonicalize_name(wanted.name), "no version")
            assert version != "no version" and wanted.specifier.contains(version), (
                f"{wanted}: {version} is locked in requirements/{name}.txt"
            )


def test_every_table_of_pyproject_is_locked():
    tables = {table for _, *tables in locking.LOCKS.values() for table in tables}
    project = PYPROJECT["project"]
    extras, groups = project["optional-dependencies"], PYPROJECT["dependency-groups"]
    assert tables == {"build-system", "dependencies", *extras, *groups}
    assert {path.stem for path in bootstrap.LOCK_FILES.glob("*.txt")} == set(locking.LOCKS)
    assert {path.stem for path in bootstrap.LIBVIRT_LOCKS.iterdir()} == set(
        locking.LIBVIRT_VERSIONS
    )


@pytest.mark.parametrize("python", PYTHONS)
def test_a_package_has_one_version_in_all_files(python):
    chosen = {}
    for name in locking.LOCKS:
        for package, version in locked(name, python).items():
            assert chosen.setdefault(package, version) == version, package


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_lock_has_digests_and_no_addresses(path):
    text = path.read_text()
    assert "--require-hashes\n" in text and not re.search("/tmp|://|--(index|extra|find)", text)
    entries = [line for line in text.splitlines() if re.match(r"[\w.-]+\S*==", line)]
    assert entries and len(entries) == len(ENTRY.findall(text))


def wheel(folder, said: str) -> str:
    """The digest of a package of one module, written to a folder that pip finds packages in."""
    path = folder / "trifle-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("trifle.py", said)
        for name, text in (
            ("METADATA", "Metadata-Version: 2.1\nName: trifle\nVersion: 1.0\n"),
            ("WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
            ("RECORD", ""),
        ):
            archive.writestr(f"trifle-1.0.dist-info/{name}", text)
    return sha256(path.read_bytes()).hexdigest()


def test_a_file_that_was_changed_is_refused(tmp_path, capfd):
    lock = tmp_path / "lock.txt"
    digest = wheel(tmp_path, "x = 1")
    lock.write_text(locking.head("") + f"trifle==1.0 --hash=sha256:{digest}\n")
    pip = [sys.executable, "-m", "pip", "install", "--no-index", "--find-links", tmp_path]
    pip += ["--target", tmp_path / "there", "--requirement", lock]
    bootstrap.install(pip, "as locked", tmp_path / "log")
    assert (tmp_path / "there" / "trifle.py").exists()
    wheel(tmp_path, "x = 2")
    with pytest.raises(bootstrap.Refusal) as refused:
        bootstrap.install([*pip, "--upgrade"], "as locked", tmp_path / "log")
    assert "DO NOT MATCH THE HASHES" in str(refused.value) and digest in str(refused.value)


def test_lock_takes_no_other_words():
    done = subprocess.run(
        [sys.executable, "-m", "cli.locking", "--nonsense"],
        capture_output=True,
        text=True,
        cwd=bootstrap.ROOT,
    )
    assert done.returncode == 2 and "./pileus lock [--upgrade]" in done.stderr
