"""The only place of the agent that runs commands, each with a time limit and bounded output.

    run(["ip", "link", "show"], timeout_s=5)               -> Result(stdout, stderr, returncode)
    run(["nft", "-f", "-"], input=text, netns="vpc-0123")  in a named network namespace
    run(["qemu-img", ...], limits=Limits(memory_mib=1024, cpu_s=30))
    spawn(["dnsmasq", ...], log=path, netns=...)           -> Popen of what outlives the agent

Called by the drivers (images, volumes, network, hypervisors). ``run`` raises CommandError, a
DriverError, for all that is not an accepted exit code; no command is ever run through a shell, and
none inherits the agent's environment.
"""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from hostagent.kernel.errors import DriverError

DEFAULT_TIMEOUT_S = 30.0
MAX_OUTPUT_BYTES = 8 * 1024 * 1024
NETNS_FOLDER = Path("/run/netns")  # where iproute2 keeps named network namespaces
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
}
ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}  # mallopt(3)
_CHUNK_BYTES = 65536
_STDERR_SHOWN = 2000


@dataclass(frozen=True)
class Result:
    """What a command that ended said. Bytes that are no UTF-8 are replaced."""

    stdout: str
    stderr: str
    returncode: int


@dataclass(frozen=True)
class Limits:
    """What the kernel allows the command (setrlimit through prlimit(1)): for programs that read
    files of unknown origin. Memory is address space; so that threads do not take 64 MiB of it each
    before they need any, they share one of the C library's arenas.
    """

    memory_mib: int = 1024
    cpu_s: int = 30


class CommandError(DriverError):
    """A command that could not be run, ran too long, said too much, or failed. ``returncode`` is
    None but for the last.
    """

    def __init__(
        self,
        argv: Sequence[str],
        what: str,
        *,
        stderr: str = "",
        returncode: int | None = None,
        transient: bool = True,
    ):
        said = stderr.strip()[-_STDERR_SHOWN:]
        super().__init__(
            f"{argv[0]}: {what}" + (f": {said}" if said else ""),
            transient=transient,
            because=" ".join(argv),
        )
        self.argv, self.returncode, self.stderr = list(argv), returncode, said


class Run(Protocol):
    """``run``, or what a test has in its place."""

    def __call__(
        self,
        argv: Sequence[str | Path],
        *,
        input: str | bytes | None = ...,
        timeout_s: float = ...,
        netns: str | None = ...,
        limits: Limits | None = ...,
        accept: Collection[int] = ...,
        max_output_bytes: int = ...,
        pass_fds: Collection[int] = ...,
    ) -> Result: ...


def run(
    argv: Sequence[str | Path],
    *,
    input: str | bytes | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    netns: str | None = None,
    limits: Limits | None = None,
    accept: Collection[int] = (0,),
    env: Mapping[str, str] | None = None,
    max_output_bytes: int = MAX_OUTPUT_BYTES,
    pass_fds: Collection[int] = (),
) -> Result:
    """Runs a command to its end. ``netns`` is a namespace's name in /run/netns; ``env`` is added to
    ENVIRONMENT; ``pass_fds`` are open there under the same numbers.

    Raises CommandError: not found (not transient), over ``timeout_s`` or ``max_output_bytes``
    (killed, with all that it started), or an exit code that ``accept`` does not name.
    """
    command = [str(word) for word in argv]
    sent = input.encode() if isinstance(input, str) else input or b""
    process = _start(
        _wrapped(command, netns, limits),
        command,
        {**(ONE_ARENA if limits else {}), **(env or {})},
        stdin=subprocess.PIPE if sent else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=pass_fds,
    )
    try:
        stdout, stderr = _converse(process, sent, command, timeout_s, max_output_bytes)
    except BaseException:
        _kill_group(process)
        raise
    finally:
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    if process.returncode not in accept:
        raise CommandError(
            command,
            f"ended with {process.returncode}",
            stderr=stderr or stdout,
            returncode=process.returncode,
        )
    return Result(stdout, stderr, process.returncode)


def spawn(
    argv: Sequence[str | Path],
    *,
    log: Path,
    netns: str | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Starts a program that goes on without the agent (own session, output appended to ``log``).

    Whoever calls keeps the Popen while it lives, so that its end is collected, and finds the
    program again after a restart by a pid file of its own.
    """
    command = [str(word) for word in argv]
    with open(log, "ab") as output:
        return _start(
            _wrapped(command, netns, None),
            command,
            env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def _wrapped(command: list[str], netns: str | None, limits: Limits | None) -> list[str]:
    """nsenter(1) and prlimit(1) do in a fresh process what would be unsafe between fork and exec of
    a threaded one.
    """
    if limits is not None:
        memory = limits.memory_mib * 1024 * 1024
        command = ["prlimit", f"--as={memory}", f"--cpu={limits.cpu_s}", "--core=0", *command]
    if netns is not None:
        command = ["nsenter", f"--net={NETNS_FOLDER / netns}", "--", *command]
    return command


def _start(
    wrapped: list[str],
    command: list[str],
    env: Mapping[str, str] | None,
    *,
    stdin: int,
    stdout: int | IO[bytes],
    stderr: int,
    pass_fds: Collection[int] = (),
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            wrapped,
            env={**ENVIRONMENT, **(env or {})},
            cwd="/",
            start_new_session=True,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=pass_fds,
        )
    except FileNotFoundError as missing:
        raise CommandError(command, "is not installed", transient=False) from missing
    except OSError as failure:
        raise CommandError(command, f"cannot be started ({failure.strerror})") from failure


def _converse(
    process: subprocess.Popen[bytes], sent: bytes, command: list[str], timeout_s: float, most: int
) -> tuple[str, str]:
    """Feeds stdin and gathers stdout and stderr until all are closed and the process has ended."""
    deadline = time.monotonic() + timeout_s
    stdin, stdout, stderr = process.stdin, bytearray(), bytearray()
    with selectors.DefaultSelector() as pipes:
        for pipe, said in ((process.stdout, stdout), (process.stderr, stderr)):
            assert pipe is not None
            pipes.register(pipe, selectors.EVENT_READ, said)
        if stdin is not None:
            os.set_blocking(stdin.fileno(), False)
            pipes.register(stdin, selectors.EVENT_WRITE)
        while pipes.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                raise CommandError(command, f"did not end within {timeout_s:g} s")
            for key, _ in pipes.select(left):
                if stdin is not None and key.fileobj is stdin:
                    sent = _feed(stdin, sent)
                    if not sent:
                        pipes.unregister(stdin)
                        stdin.close()
                    continue
                chunk = os.read(key.fd, _CHUNK_BYTES)
                key.data.extend(chunk)
                if not chunk:
                    pipes.unregister(key.fileobj)
                if len(stdout) + len(stderr) > most:
                    raise CommandError(command, f"said more than {most} bytes", transient=False)
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired as late:
        raise CommandError(command, f"did not end within {timeout_s:g} s") from late
    return stdout.decode(errors="replace"), stderr.decode(errors="replace")


def _feed(stdin: IO[bytes], sent: bytes) -> bytes:
    """What is still to be sent. A command that closed its stdin early gets the rest no more; its
    exit code tells.
    """
    try:
        return sent[os.write(stdin.fileno(), sent[:_CHUNK_BYTES]) :]
    except BrokenPipeError:
        return b""


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
