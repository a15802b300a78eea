"""Network namespaces: made and removed by name, entered by a thread that ends there.

    namespaces.ensure("pileus-vpc-1", run)
    namespaces.inside("pileus-vpc-1", lambda: socket.create_server(...))
    namespaces.netlink("pileus-vpc-1", lambda ip: ip.get_links())

A thread that enters a namespace never comes back: it is made for one piece of work and ends, so
that no failure on the way back can leave a thread of the agent in a stranger's network. Nothing
here forks: the agent is full of gRPC threads (docs/decisions/0250).
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pyroute2 import IPRoute
from pyroute2 import netns as pyroute2_netns
from pyroute2.netlink.exceptions import NetlinkError

from hostagent.kernel.errors import DriverError
from hostagent.kernel.shell import NETNS_FOLDER, Run

T = TypeVar("T")
_JOIN_TIMEOUT_S = 60.0


def ensure(name: str, run: Run) -> bool:
    """Makes the namespace where there is none, and answers whether it did. What a crash between
    iproute2's two steps leaves (a file that no namespace is mounted on) is made anew.
    """
    if exists(name):
        return False
    (NETNS_FOLDER / name).unlink(missing_ok=True)
    if not NETNS_FOLDER.is_dir():  # all users' of the machine: as iproute2 makes it for them
        NETNS_FOLDER.mkdir(exist_ok=True)
        NETNS_FOLDER.chmod(0o755)
    run(["ip", "netns", "add", name])
    return True


def exists(name: str) -> bool:
    """Whether a namespace is mounted under the name; an empty file alone is none."""
    try:
        own = os.stat("/proc/self/ns/net").st_dev  # the device of nsfs
        return (NETNS_FOLDER / name).stat().st_dev == own
    except FileNotFoundError:
        return False


def remove(name: str, run: Run) -> None:
    """Takes the name away. The namespace goes when nothing runs in it and no socket is open."""
    if exists(name):
        run(["ip", "netns", "delete", name])
    (NETNS_FOLDER / name).unlink(missing_ok=True)


def listed() -> list[str]:
    """All names, also of files that a crash left without a namespace."""
    return sorted(os.listdir(NETNS_FOLDER)) if NETNS_FOLDER.is_dir() else []


def inode(name: str) -> int:
    """What /proc/PID/ns/net of a process in there has too."""
    return (NETNS_FOLDER / name).stat().st_ino


def inside(name: str, work: Callable[[], T]) -> T:
    """What ``work()`` answers or raises, run in the namespace. A socket made there stays there."""
    results: list[T] = []
    failures: list[BaseException] = []

    def enter_and_work() -> None:
        try:
            handle = os.open(NETNS_FOLDER / name, os.O_RDONLY | os.O_CLOEXEC)
            try:
                pyroute2_netns.setns(handle)
            finally:
                os.close(handle)
            results.append(work())
        except BaseException as failure:  # handed to the caller, who raises it
            failures.append(failure)

    thread = threading.Thread(target=enter_and_work, name=f"inside {name}", daemon=True)
    thread.start()
    thread.join(_JOIN_TIMEOUT_S)
    for failure in failures:
        if isinstance(failure, FileNotFoundError):
            raise DriverError(f"there is no namespace {name}", because=failure) from failure
        raise failure
    if not results:
        raise DriverError(f"work in the namespace {name} did not end")
    return results[0]


def netlink(name: str | None, work: Callable[[IPRoute], T]) -> T:
    """What ``work(ip)`` answers, with a netlink socket of the namespace (None: the agent's own).

    Raises DriverError for what the kernel refuses.
    """

    def with_socket() -> T:
        try:
            with IPRoute() as ip:
                return work(ip)
        except NetlinkError as error:
            where = f"in the namespace {name}" if name else "on the host"
            raise DriverError(f"the kernel refused a network change {where}: {error}") from error

    return inside(name, with_socket) if name else with_socket()


def set_sysctls(values: dict[str, str]) -> None:
    """Writes kernel settings of the namespace that the calling thread is in, where they differ."""
    for key, value in values.items():
        path = Path("/proc/sys") / key
        try:
            if path.read_text().strip() != value:
                path.write_text(value)
        except OSError as error:
            raise DriverError(
                f"the kernel setting {key} cannot be made {value}: {error}"
            ) from error
