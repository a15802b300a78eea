"""Plays a playbook of tests/clients/ansible with ``ansible-playbook``, as its users would.

    playbooks.play("networks.yml", changes=True)

The playbooks assert by themselves: what a task must have changed, what is read back.
"""

import json
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "ansible"


class Playbooks:
    """``customer``: the Customer of conftest.py; ``home``: a folder for Ansible's own files."""

    def __init__(self, customer, home: Path):
        self._customer, self._home = customer, home

    def play(self, name: str, **variables) -> str:
        """What it prints. AssertionError with that where one of its tasks fails."""
        given = {"demo_image": self._customer.image_id, **variables}
        return self._run(["ansible-playbook", FOLDER / name, "--extra-vars", json.dumps(given)])

    def inventory(self, name: str) -> dict:
        """What the inventory plugin finds, as ``ansible-inventory --list`` prints it."""
        return json.loads(self._run(["ansible-inventory", "--list", "-i", FOLDER / name]))

    def _run(self, command: list) -> str:
        return self._customer.run(
            command,
            cwd=self._home,
            ANSIBLE_CONFIG=str(FOLDER / "ansible.cfg"),
            ANSIBLE_HOME=str(self._home),
            ANSIBLE_PYTHON_INTERPRETER=sys.executable,
            ACCOUNT_ID=self._customer.account.account_id,
        )
