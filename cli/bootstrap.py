"""From a bare machine to a virtual environment, then on to ``python -m cli``.

Standard library only. Run by ./pileus with whatever Python the machine has; imports nothing of the
project. System packages are installed for real guests only; what is there already costs a fraction
of a second.

    .venv/             beside the code, for every command
    .venv/pileus.json  what it was made from; another lock or libvirt makes it anew
    .install.log       all that apt and pip said last; shown when they fail
"""

import hashlib
import json
import os
import pwd
import re
import select
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "pileus.json"
INSTALL_LOG = ROOT / ".install.log"
LOCK_FILES = ROOT / "requirements"  # made by ./pileus lock
LIBVIRT_PYTHON = "libvirt-python"
LIBVIRT_LOCKS = LOCK_FILES / LIBVIRT_PYTHON
TAIL_LINES = 30
TOLD_EVERY_S = 15.0  # where there is no terminal to show each step
# What apt and pip say when they begin with something: the word for it, and which thing.
STAGES = (
    (re.compile(r"\s*Collecting ([\w.-]+)"), "looking for"),
    (re.compile(r"\s*Downloading \S*?([\w.]+)-[^/]*(?: \(|$)"), "downloading"),
    (re.compile(r"\s*Building wheel for (\S+)"), "building"),
    (re.compile(r"Installing (collected packages)"), "installing"),
    (re.compile(r"Get:\d+ \S+ \S+ \S+ (\S+)"), "downloading"),
    (re.compile(r"Unpacking (\S+)"), "unpacking"),
    (re.compile(r"Setting up (\S+)"), "setting up"),
)
TEST_HELP = """\
Usage: ./pileus test [-e ENVIRONMENTS] [-- PYTEST'S ARGUMENTS]

Runs every test of Pileus and ends with one line that counts them all. The exit code is 0 only when
none failed. What the tests need (Debian's packages, Python's) is installed first.

  -e lint       ruff: the rules and the format; mypy: the types
  -e unit       what needs neither root nor libvirt: units, the simulation of the whole cloud, boto3
                against a cloud of fake hosts
  -e clients    Terraform, Ansible, libcloud and other clients, unmodified, against such a cloud
  -e real       guests, networks, crashes and a power failure for real; as root
  -e lint,unit  several of them; all four unless said. Without root, real is left out, and said so.
                Two run at once, and what each says is shown when it has ended.

  ./pileus test                       everything
  ./pileus test -e unit -- -k quota   those tests of one environment whose names have "quota"
  ./pileus test -e real -- -x         stop at the first failure
"""

# For real guests: what runs them, what connects them, and what libvirt-python is compiled with.
PACKAGES = (
    "qemu-system-x86",
    "qemu-system-common",  # qemu-storage-daemon
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
TEST_PACKAGES = (
    "busybox-static",
    "iputils-ping",
    "openssh-client",
    "golang-go",
    "golang-github-aws-aws-sdk-go-dev",
    "ruby-fog-aws",
)
VENV_PACKAGES = ("python3-venv",)
# Commands for those who work on Pileus: their modules, and what each needs besides run.txt.
COMMANDS_OF_THEIR_OWN = {"test": "cli.testing", "lock": "cli.locking"}
LOCKS_OF_COMMANDS = {"test": ("tox",), "lock": ("lock",)}


class Refusal(Exception):
    """A sentence for the person at the terminal."""


def main(arguments: list[str]) -> int:
    command = arguments[0] if arguments else ""
    module = COMMANDS_OF_THEIR_OWN.get(command, "cli")
    try:
        if command == "test" and asks_for_help(arguments[1:]):
            print(TEST_HELP, end="")
            return 0
        locks = ["run", *LOCKS_OF_COMMANDS.get(command, ())]
        if wants_real_guests(arguments) and os.geteuid() == 0:
            more = TEST_PACKAGES if command == "test" else ()
            install_packages((*PACKAGES, *headers(), *more))
            ensure_libvirts_user()
            locks.append("host")
        ensure_venv(locks)
        compile_protos()
    except Refusal as refusal:
        print(f"pileus: {refusal}", file=sys.stderr)
        return 1
    sys.stdout.flush()
    rest = arguments if module == "cli" else arguments[1:]
    python = str(VENV / "bin" / "python")
    # The caller's folder stays, so that file names on the command line mean what they say; -P, so
    # that no code is taken from it, which may be anybody's.
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    os.execve(python, [python, "-P", "-m", module, *rest], environment)


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


def asks_for_help(arguments: list[str]) -> bool:
    """Whether our own help is asked for: what comes after -- is for pytest."""
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return not {"-h", "--help"}.isdisjoint(own)


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
        return str(json.loads((path / "cloud.json").read_text())["hypervisor"])
    except (OSError, ValueError, KeyError):
        return ""


def install_packages(wanted: tuple[str, ...]) -> None:
    """Installs the missing packages by apt. Raises Refusal where that cannot be."""
    if not shutil.which("apt-get"):
        raise Refusal(
            "real guests need Debian's packages, and there is no apt-get here; "
            "`./pileus up --hypervisor fake` needs none"
        )
    missing = [name for name in wanted if not is_installed(name)]
    if not missing:
        return
    print(f"pileus: Debian packages that are missing: {' '.join(missing)}", flush=True)
    install(["apt-get", "update"], "Debian's lists of packages")
    install(
        ["apt-get", "install", "-y", "--no-install-recommends", *missing],
        f"{len(missing)} Debian packages",
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


def ensure_venv(locks: list[str]) -> None:
    """The virtual environment with at least what these files of requirements/ name.

    Raises Refusal, also where a downloaded file is not the one that was locked.
    """
    before = read_stamp()
    stamp: dict[str, Any] = {
        "locks": sorted({*before.get("locks", ()), *locks}),
        "libvirt": libvirt_version() if "host" in locks else before.get("libvirt", ""),
    }
    files = [LOCK_FILES / f"{name}.txt" for name in stamp["locks"]]
    stamp["from"] = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    if before == stamp:
        return
    require_writable(ROOT, VENV, INSTALL_LOG)
    if not is_usable(VENV):
        make_venv()
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check"]
    pip += ["--no-color", "--progress-bar", "off", "--no-input", "--no-deps"]  # all are locked
    locked = [word for path in files for word in ("--requirement", str(path))]
    install([*pip, "--require-hashes", *locked], f"Python packages, as locked, into {VENV}")
    if libvirt := stamp["libvirt"]:
        # Built by the setuptools of host.txt, not by the newest one.
        built = [*pip, "--no-build-isolation", "--use-pep517", *libvirt_requirement(libvirt)]
        install(built, f"libvirt-python {libvirt}")
    STAMP.write_text(json.dumps(stamp))


def compile_protos() -> None:
    """Does nothing where all is compiled. Raises Refusal."""
    command = [str(VENV / "bin" / "python"), "-m", "protos.build"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        require_writable(*(ROOT / "protos" / "cloud" / "v1").iterdir())
        raise Refusal(f"compiling the protos failed:\n{done.stdout}{done.stderr}")


def require_writable(*paths: Path) -> None:
    """Raises Refusal for what another user has installed here, as root does by `sudo ./pileus`."""
    for path in paths:
        if os.path.lexists(path) and not os.access(path, os.W_OK):
            try:
                owner = pwd.getpwuid(path.lstat().st_uid).pw_name
            except KeyError:
                owner = "another user"
            how = "by `sudo ./pileus ...`" if owner == "root" else f"as {owner}"
            raise Refusal(
                f"{path} is {owner}'s, and something newer is to be installed there: run this "
                f"{how}, or from a clone of your own"
            )


def is_usable(venv: Path) -> bool:
    """Also its Python, to which it is a link, may be one that this user does not reach."""
    return os.access(venv / "bin" / "python", os.X_OK)


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


def read_stamp() -> dict[str, Any]:
    try:
        return dict(json.loads(STAMP.read_text())) if is_usable(VENV) else {}
    except (OSError, ValueError):
        return {}


def libvirt_requirement(libvirt: str) -> list[str]:
    """pip's words for the libvirt-python of this libvirt, with its digest where there is a lock of
    that version. Where there is none it is installed unchecked, which is said.
    """
    lock = LIBVIRT_LOCKS / f"{libvirt}.txt"
    if lock.exists():
        return ["--requirement", lock.relative_to(ROOT).as_posix()]
    print(f"pileus: libvirt {libvirt} is not in {LIBVIRT_LOCKS}: its digest is not checked")
    return [f"{LIBVIRT_PYTHON}=={libvirt}"]


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


def install(command: list[str], what: str, log: Path = INSTALL_LOG, **environment: str) -> None:
    """Runs apt or pip, showing how far it is and not what it says, which goes into a log.

    Raises Refusal with the log's end when it fails.
    """
    began, told, stage = time.monotonic(), Telling(what), ""
    with log.open("wb") as whole:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert process.stdout is not None
        while True:
            told.at(stage, time.monotonic() - began)
            if not select.select([process.stdout], [], [], 1.0)[0]:
                continue
            if not (said := os.read(process.stdout.fileno(), 65536)):
                break
            whole.write(said)
            for line in said.decode(errors="replace").splitlines():
                stage = stage_of(line) or stage
    process.stdout.close()
    if process.wait() != 0:
        told.end("failed", time.monotonic() - began)
        end = log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        raise Refusal("\n".join([f"{what}: see {log}, which ends so:", *end]))
    told.end("installed", time.monotonic() - began)


def stage_of(line: str) -> str:
    """ "Downloading grpcio-1.66-cp311.whl (5.9 MB)" -> "downloading grpcio"; "" for other lines."""
    for pattern, word in STAGES:
        if match := pattern.match(line):
            return f"{word} {match[1]}"
    return ""


class Telling:
    """How far something is: one line of the terminal, or now and then a line of its own."""

    OVERWRITE = "\r\033[K"

    def __init__(self, what: str, terminal: bool | None = None):
        self._last_s = 0.0
        self._terminal = sys.stdout.isatty() if terminal is None else terminal
        print(f"pileus: installing {what}", flush=True)

    def at(self, stage: str, elapsed_s: float) -> None:
        text = f"  {elapsed_s:4.0f} s  {stage}"
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            print(f"{self.OVERWRITE}{text[:width]}", end="", flush=True)
        elif elapsed_s - self._last_s >= TOLD_EVERY_S:
            self._last_s = elapsed_s
            print(text, flush=True)

    def end(self, how: str, elapsed_s: float) -> None:
        begin = self.OVERWRITE if self._terminal else ""
        print(f"{begin}  {elapsed_s:4.0f} s  {how}", flush=True)


def run(command: list[str], what: str, **environment: str) -> None:
    """Shows what the command says; raises Refusal when it fails."""
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment})
    if done.returncode != 0:
        raise Refusal(f"{what} failed with exit code {done.returncode}; its own words are above")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
