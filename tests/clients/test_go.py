"""The AWS SDK for Go: its waiters, pages and errors (go/flow.go). Version 1, which Debian has and
two cores compile within seconds; version 2's ec2 package takes minutes."""

import json
import shutil
from pathlib import Path

import pytest

from tests.harness.installation import ROOT

SOURCE = Path(__file__).parent / "go" / "flow.go"
CACHE = ROOT / ".tox" / "go"
LIBRARIES = Path("/usr/share/gocode")
WAITERS = {
    "ImageAvailable",
    "ImageExists",
    "InstanceExists",
    "InstanceRunning",
    "InstanceStatusOk",
    "InstanceStopped",
    "InstanceTerminated",
    "KeyPairExists",
    "NetworkInterfaceAvailable",
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
def program(customer) -> Path:
    """flow.go, compiled against Debian's copy of the SDK."""
    sdk = LIBRARIES / "src" / "github.com" / "aws" / "aws-sdk-go"
    customer.needs(bool(shutil.which("go")) and sdk.is_dir(), "Go with its AWS SDK")
    CACHE.mkdir(parents=True, exist_ok=True)
    built = CACHE / "flow"
    without_modules = {"GO111MODULE": "off", "GOPATH": str(LIBRARIES), "GOCACHE": str(CACHE)}
    customer.run(["go", "build", "-o", built, SOURCE], **without_modules)
    return built


def test_a_users_round(customer, program, twice):
    seen = json.loads(customer.run([program, customer.image_id]))
    assert set(seen["waited"]) == WAITERS
    assert seen["tags"] == [{"Key": "Name", "Value": "go"}]
    assert seen["launched"].endswith("Z")
    assert seen["absent"] == ["InvalidInstanceID.NotFound", 400, True]
    assert seen["dry"] == ["DryRunOperation", 412, True]
    assert seen["unsupported"] == ["UnsupportedOperation", 400, True]
    assert seen["inUse"] == ["DependencyViolation", 400, True]
    assert seen["failure"] == "ResourceNotReady", "a waiter fails at once"
    *full, last = seen["types"]
    assert set(full) == {10} and 1 <= last <= 10
