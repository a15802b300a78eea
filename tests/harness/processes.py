"""A cloud of real processes, each of which can be killed: ``python -m controller`` and so on.

    with ProcessCloud(folder) as cloud:
        cloud.kill("controller")         SIGKILL, and it is gone when this returns
        cloud.start("controller")        as a supervisor would
        cloud.account("alice").ec2       boto3, as in wired.py

Needs neither root nor libvirt: the hypervisor is the fake one, whose guests live in a file.
"""

import json
import subprocess
import sys
from pathlib import Path

import urllib3

from tests.harness.accounts import Account, Accounts
from tests.harness.installation import ROOT, Installation
from tests.harness.waiting import wait_until

STOP_LIMIT_S = 20
LOG_SHOWN = 4000


class ProcessCloud:
    """Services are called "controller", "gateway", "host-1" ...; ``added`` is as Installation's."""

    def __init__(self, folder: Path, *, hosts: int = 1, **added: str):
        self.files = Installation(folder, hosts=hosts, **added)
        self._commands = {
            "controller": ["controller", self.files.controller_toml],
            "gateway": ["gateway", self.files.gateway_toml],
        }
        for path in self.files.host_tomls:
            self._commands[path.stem] = ["hostagent", path]
        self._running: dict[str, subprocess.Popen] = {}

    def __enter__(self) -> "ProcessCloud":
        self.files.prepare()
        try:
            for name in self._commands:
                self.start(name)
            self.accounts = Accounts(self.files.endpoint, self.files.operator)
            wait_until("a host", self._is_ready, limit_s=60)
            self.image_id = self.accounts.add_image()
        except BaseException as failure:
            self.__exit__()
            failure.add_note(self.logs())
            raise
        return self

    def __exit__(self, *failure) -> None:
        for process in self._running.values():
            process.terminate()
        for name, process in self._running.items():
            try:
                process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise AssertionError(f"{name} did not end within {STOP_LIMIT_S} s") from None

    def start(self, name: str) -> None:
        module, config = self._commands[name]
        with open(self.files.folder / f"{name}.log", "ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", module, "--config", str(config)],
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )

    def kill(self, name: str) -> None:
        """kill -9. AssertionError where it had ended by itself before."""
        process = self._running.pop(name)
        assert process.poll() is None, f"{name} has ended by itself\n{self.logs()}"
        process.kill()
        process.wait()

    def account(self, name: str) -> Account:
        return self.accounts.account(name)

    def guests(self, number: int = 1) -> dict[str, dict]:
        """The fake guests of a host, as its file says: instance id -> what it is."""
        path = self.files.folder / f"host-{number}" / "run" / "fake-guests.json"
        return json.loads(path.read_text())["guests"] if path.exists() else {}

    def audit(self, number: int = 1) -> tuple[int, str]:
        """``python -m hostagent --audit``: (exit code, what it says)."""
        command = ["-m", "hostagent", "--config", str(self.files.host_tomls[number - 1]), "--audit"]
        ended = subprocess.run(
            [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        return ended.returncode, ended.stdout + ended.stderr

    def logs(self) -> str:
        """The ends of all logs, to be shown with a failure."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text()[-LOG_SHOWN:]}"
            for path in sorted(self.files.folder.glob("*.log"))
        )

    def _is_ready(self) -> bool:
        """Not while the gateway does not listen, or answers that the controller does not."""
        try:
            return self.accounts.is_ready()
        except (AssertionError, urllib3.exceptions.HTTPError):
            return False
