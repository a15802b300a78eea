"""From a bare machine to a virtual environment, then on to ``python -m cli``.

Standard library only. Run by ./pileus with whatever Python the machine has; imports nothing of the
project. System packages are installed for real guests only; what is there already costs a fraction
of a second.

    .venv/             beside the code, for every command
    .venv/pileus.json  what it was made from; another pyproject.toml or libvirt makes it anew
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "pileus.json"

# For real guests: what runs them, what connects them, and what libvirt-python is compiled with.
PACKAGES = (
    "qemu-system-x86",
    "qemu-utils",
    "libvirt-daemon",
    "libvirt-daemon-driver-qemu",
    "libvirt-dev",
    "dnsmasq-base",
    "nftables",
    "conntrack",
    "iproute2",
    "kmod",
    "procps",
    "util-linux",
    "pkg-config",
    "gcc",
    "libc6-dev",
)
HEADERS_PACKAGE = "python3-dev"  # where this Python came without its C headers
LIBVIRT_USER = "libvirt-qemu"
TEST_PACKAGES = ("busybox-static", "iputils-ping", "openssh-client")
VENV_PACKAGES = ("python3-venv",)
TEST_TOOLS = ("tox>=4.20",)


class Refusal(Exception):
    """A sentence for the person at the terminal."""


def main(arguments: list[str]) -> int:
    try:
        real = wants_real_guests(arguments)
        testing = arguments[:1] == ["test"]
        if real and os.geteuid() == 0:
            install_packages((*PACKAGES, *headers(), *(TEST_PACKAGES if testing else ())))
            ensure_libvirts_user()
        extras = ("host",) if real and os.geteuid() == 0 else ()
        ensure_venv(extras, TEST_TOOLS if testing else ())
        run([VENV / "bin" / "python", "-m", "protos.build"], "compiling the protos")
    except Refusal as refusal:
        print(f"pileus: {refusal}", file=sys.stderr)
        return 1
    sys.stdout.flush()
    module = "cli.testing" if testing else "cli"
    rest = arguments[1:] if testing else arguments
    python = str(VENV / "bin" / "python")
    # The caller's folder stays, so that file names on the command line mean what they say.
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    os.execve(python, [python, "-m", module, *rest], environment)


def wants_real_guests(arguments: list[str]) -> bool:
    """Whether this command needs libvirt here: `up` of a cloud that is no fake, and `test`."""
    command = next((word for word in arguments if not word.startswith("-")), "")
    if command == "test":
        return True
    if command != "up" or {"-h", "--help"} & set(arguments):
        return False
    hypervisor = option(arguments, "--hypervisor")
    if hypervisor:
        return hypervisor != "fake"
    return recorded_hypervisor(option(arguments, "--state-dir")) != "fake"


def option(arguments: list[str], name: str) -> str:
    for index, word in enumerate(arguments):
        if word == name and index + 1 < len(arguments):
            return arguments[index + 1]
        if word.startswith(name + "="):
            return word.partition("=")[2]
    return ""


def recorded_hypervisor(state_dir: str) -> str:
    """Of the cloud that is there already (cli/layout.py says where)."""
    home = Path("/var/lib") if os.geteuid() == 0 else Path.home() / ".local" / "state"
    if os.geteuid() != 0 and os.environ.get("XDG_STATE_HOME"):
        home = Path(os.environ["XDG_STATE_HOME"])
    path = Path(state_dir).expanduser() if state_dir else home / "pileus"
    try:
        return json.loads((path / "cloud.json").read_text())["hypervisor"]
    except (OSError, ValueError, KeyError):
        return ""


def install_packages(wanted: tuple[str, ...]) -> None:
    """By apt, and only what is missing. Raises Refusal where that cannot be."""
    if not shutil.which("apt-get"):
        raise Refusal(
            "real guests need Debian's packages, and there is no apt-get here; "
            "`./pileus up --hypervisor fake` needs none"
        )
    missing = [name for name in wanted if not is_installed(name)]
    if not missing:
        return
    print(f"pileus: installing {len(missing)} packages: {' '.join(missing)}", flush=True)
    run(["apt-get", "update", "-qq"], "apt-get update")
    run(
        ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *missing],
        "apt-get install",
        DEBIAN_FRONTEND="noninteractive",
        DEBCONF_NOWARNINGS="yes",
    )


def ensure_libvirts_user() -> None:
    """Debian's libvirtd does not start where this user is missing, whoever its guests run as. The
    package libvirt-daemon-system makes it too, and much else that is not wanted here.
    """
    if subprocess.run(["getent", "passwd", LIBVIRT_USER], capture_output=True).returncode == 0:
        return
    if subprocess.run(["getent", "group", LIBVIRT_USER], capture_output=True).returncode != 0:
        run(["groupadd", "--system", LIBVIRT_USER], "groupadd")
    account = ["--gid", LIBVIRT_USER, "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"]
    run(["useradd", "--system", *account, LIBVIRT_USER], "useradd")


def headers() -> tuple[str, ...]:
    """The package with Python.h, if libvirt-python could not be compiled without it."""
    there = (Path(sysconfig.get_path("include")) / "Python.h").exists()
    return () if there else (HEADERS_PACKAGE,)


def is_installed(package: str) -> bool:
    shown = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status}", package], capture_output=True, text=True
    )
    return shown.returncode == 0 and shown.stdout == "installed"


def ensure_venv(extras: tuple[str, ...], tools: tuple[str, ...]) -> None:
    """The virtual environment with at least these extras of pyproject.toml and these tools."""
    before = read_stamp()
    libvirt = libvirt_version() if "host" in extras else before.get("libvirt", "")
    all_extras = sorted({*before.get("extras", ()), *extras})
    all_tools = sorted({*before.get("tools", ()), *tools})
    wanted = requirements(all_extras, libvirt) + all_tools
    stamp = {
        "from": hashlib.sha256("\n".join(wanted).encode()).hexdigest(),
        "extras": all_extras,
        "tools": all_tools,
        "libvirt": libvirt,
    }
    if before == stamp:
        return
    if not (VENV / "bin" / "python").exists():
        make_venv()
    print(f"pileus: installing {len(wanted)} Python packages into {VENV}", flush=True)
    pip = [VENV / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    run([*pip, *wanted], "pip install")
    STAMP.write_text(json.dumps(stamp))


def make_venv() -> None:
    print(f"pileus: making {VENV}", flush=True)
    made = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(VENV)], capture_output=True, text=True
    )
    if made.returncode == 0:
        return
    shutil.rmtree(VENV, ignore_errors=True)
    debian = Path(sysconfig.get_path("stdlib")).is_relative_to("/usr/lib")
    if debian and os.geteuid() == 0 and not is_installed("python3-venv"):
        install_packages(VENV_PACKAGES)
        make_venv()
        return
    raise Refusal(
        "this Python cannot make a virtual environment (Debian: apt-get install python3-venv):\n"
        + (made.stderr or made.stdout).strip()
    )


def read_stamp() -> dict:
    try:
        return json.loads(STAMP.read_text()) if (VENV / "bin" / "python").exists() else {}
    except (OSError, ValueError):
        return {}


def requirements(extras: list[str], libvirt: str) -> list[str]:
    """pyproject.toml's, with libvirt-python at the version of the machine's libvirt."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = list(project["dependencies"])
    for extra in extras:
        found += project["optional-dependencies"][extra]
    return [f"{one}=={libvirt}" if one == "libvirt-python" and libvirt else one for one in found]


def libvirt_version() -> str:
    try:
        shown = subprocess.run(
            ["pkg-config", "--modversion", "libvirt"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as failure:
        raise Refusal(
            f"pkg-config does not know libvirt (package libvirt-dev): {failure}"
        ) from None
    return shown.stdout.strip()


def run(command: list, what: str, **environment: str) -> None:
    """Shows what the command says; raises Refusal when it fails."""
    done = subprocess.run(
        [str(word) for word in command], cwd=ROOT, env={**os.environ, **environment}
    )
    if done.returncode != 0:
        raise Refusal(f"{what} failed with exit code {done.returncode}; its own words are above")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
