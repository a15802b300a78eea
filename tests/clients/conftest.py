"""The cloud that unmodified clients are run against: real services as processes, fake guests.

    def test_it(customer):
        customer.run(["aws", "ec2", "describe-vpcs"])      a command, with AWS's variables set

Each file of tests is one client, and has one account for all its tests. What a client does, it does
twice against the same cloud (``twice``): what the first run leaves behind is what the second trips
over.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.playbooks import Playbooks
from tests.harness.accounts import Account
from tests.harness.installation import REGION
from tests.harness.processes import ProcessCloud

COMMAND_LIMIT_S = 600
# Files of tests that take minutes begin first: each is one worker's (``--dist loadfile``), and what
# begins last ends last. xdist gives whoever has but two tests left a further file at once: the next
# ones are short.
FIRST = (
    "test_terraform.py",
    "test_ansible_instances.py",
    "test_ansible_networks.py",
    "test_ansible_metadata.py",
    "test_fog.py",
)
CONTROLLER = "[quotas]\npublic_images_per_account = 5\n"  # clients publish images of theirs
GATEWAY = "sigv2 = true"  # for libcloud and boto 2; off by default


def pytest_collection_modifyitems(items):
    def turn(item) -> int:
        return FIRST.index(item.path.name) if item.path.name in FIRST else len(FIRST)

    items.sort(key=turn)  # the others stay as they are


@dataclass(frozen=True)
class Customer:
    """An account, and the environment in which its owner would run a client."""

    account: Account
    image_id: str

    @property
    def environment(self) -> dict[str, str]:
        """This process's variables, less AWS's own, with those of ``pileus env``."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return kept | {
            "AWS_ENDPOINT_URL": self.account.endpoint,
            "AWS_ACCESS_KEY_ID": self.account.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.account.secret_access_key,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    @staticmethod
    def needs(there: bool, package: str) -> None:
        """Leaves a test out where a client of Debian's is missing; as root it is to fail."""
        if not there and os.geteuid() != 0:
            pytest.skip(f"{package} is not installed: ./pileus test does it as root")

    def run(self, command: list, *, cwd: Path | None = None, **variables: str) -> str:
        """What a command prints on stdout. AssertionError with all it said where it fails."""
        ended = subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env=self.environment | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT_S,
        )
        said = f"{ended.stdout}\n{ended.stderr}"
        assert ended.returncode == 0, f"{command} ended with {ended.returncode}:\n{said}"
        return ended.stdout


@pytest.fixture(scope="session")
def cloud(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cloud")
    with ProcessCloud(folder, gateway=GATEWAY, controller=CONTROLLER) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def customer(cloud, request):
    """The account of this file's client; its instances go when the file's tests are done."""
    account = cloud.account(request.module.__name__.rpartition(".")[2])
    yield Customer(account, cloud.image_id)
    account.terminate_all()


@pytest.fixture(params=["first", "second"])
def twice(request) -> str:
    """Which of the two runs of a flow this is."""
    return request.param


@pytest.fixture
def playbooks(customer, tmp_path) -> Playbooks:
    """Ansible, as this file's account would run it."""
    return Playbooks(customer, tmp_path)
