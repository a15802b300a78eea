"""``pileus up --hypervisor fake`` from nothing to nothing: no root, no system packages."""

import os
import signal
import socket
import tempfile
from pathlib import Path

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.harness.typed import Typed, free_port
from tests.harness.waiting import wait_until

TIMEOUT_S = 60


def eventually(look, what: str):
    return wait_until(what, look, TIMEOUT_S, look_s=0.1)


@pytest.fixture(scope="module")
def fake():
    with tempfile.TemporaryDirectory(prefix="pileus-") as folder:
        made = Typed(Path(folder))
        try:
            yield made
        finally:
            made.pileus("down", "--destroy")
            assert made.processes() == []


@pytest.fixture(scope="module")
def first_up(fake) -> str:
    port = free_port()
    return fake.pileus(
        "up",
        "--detach",
        "--hypervisor",
        "fake",
        "--hosts",
        2,
        "--port",
        port,
        "--region",
        "eu-west-1",
    )


def launch(ec2, **how) -> str:
    (image,) = ec2.describe_images(Filters=[{"Name": "name", "Values": ["pileus-demo"]}])["Images"]
    (instance,) = ec2.run_instances(
        ImageId=image["ImageId"], InstanceType="t2.nano", MinCount=1, MaxCount=1, **how
    )["Instances"]
    fast = {"Delay": 1, "MaxAttempts": 30}
    ec2.get_waiter("instance_running").wait(InstanceIds=[instance["InstanceId"]], WaiterConfig=fast)
    return instance["InstanceId"]


def test_the_first_up_says_what_to_do_next(fake, first_up):
    assert "export AWS_ENDPOINT_URL=http://127.0.0.1:" in first_up
    assert "aws ec2 run-instances" in first_up
    assert "ready" in fake.pileus("status")
    assert len(fake.pileus("host", "list").splitlines()) == 2
    assert fake.pileus("env") == (fake.state / "env").read_text()


def test_a_launch_succeeds(fake, first_up):
    ec2 = fake.ec2(fake.pileus("env"))
    reservation = ec2.describe_instances(InstanceIds=[launch(ec2)])["Reservations"][0]
    (image,) = ec2.describe_images(ImageIds=[reservation["Instances"][0]["ImageId"]])["Images"]
    assert image["EnaSupport"] and reservation["Instances"][0]["EnaSupport"]
    (zone,) = ec2.describe_availability_zones()["AvailabilityZones"]
    assert (zone["ZoneName"], zone["ZoneId"]) == ("eu-west-1a", "euw1-az1")


def test_accounts_keys_and_quotas(fake, first_up):
    ec2 = fake.ec2(fake.pileus("account", "create", "web"))
    assert ec2.describe_instances()["Reservations"] == []
    assert "web" in fake.pileus("account", "list")
    assert "0 of 0" in fake.pileus("quota", "set", "--account", "web", "instances", 0)
    with pytest.raises(Exception, match="InstanceLimitExceeded"):
        launch(ec2)
    again = fake.pileus("key", "create", "--account", "web")
    assert fake.ec2(again).describe_instances()["Reservations"] == []
    assert len(fake.pileus("key", "list", "--account", "web").splitlines()) == 2
    own = fake.pileus("quota", "list")
    assert "the operator's own" in own and "instances" in own
    assert "AKIA" in fake.pileus("key", "list")
    assert "of 7" in fake.pileus("quota", "set", "key_pairs", 7)
    assert "no account 'nobody'" in fake.pileus("quota", "list", "--account", "nobody", expect=1)


def test_an_image_is_imported(fake, first_up, tmp_path):
    disk = tmp_path / "mine.raw"
    disk.write_bytes(bytes(510) + b"\x55\xaa" + bytes(512 * 1023))
    assert "available" in fake.pileus("image", "import", disk, "--name", "mine")
    assert "mine" in fake.pileus("image", "list")
    said = fake.pileus("image", "import", disk, "--name", "mine", expect=1)
    assert "there is an image 'mine' already" in said
    disk.write_bytes(b"KDMV" + bytes(1020))
    said = fake.pileus("image", "import", disk, expect=1)
    assert "is a VMDK disk: convert it first" in said
    disk.write_bytes(bytes(1024))
    assert "no raw one with a partition table" in fake.pileus("image", "import", disk, expect=1)
    assert "odd" in fake.pileus("image", "import", disk, "--disk-format", "raw", "--name", "odd")


def test_a_second_up_finds_everything_and_disturbs_nothing(fake, first_up):
    ec2 = fake.ec2(fake.pileus("env"))
    instance_id = launch(ec2)
    before = sorted(fake.processes())
    said = fake.pileus("up", "--detach")
    assert "running already" in said and sorted(fake.processes()) == before
    (reservation,) = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
    assert reservation["Instances"][0]["State"]["Name"] == "running"


def test_what_dies_is_restarted(fake, first_up):
    line = next(
        line for line in fake.pileus("status").splitlines() if line.startswith("service    gateway")
    )
    os.kill(int(line.rpartition(" ")[2]), signal.SIGKILL)
    eventually(lambda: _succeeds(fake, "status"), "ready again")


def _succeeds(fake: Typed, *words: str) -> bool:
    try:
        fake.pileus(*words)
    except AssertionError:
        return False
    return True


def test_down_and_up_keep_the_instances(fake, first_up):
    ec2 = fake.ec2(fake.pileus("env"))
    instance_id = launch(ec2)
    fake.pileus("down")
    assert fake.processes() == []
    assert "not ready" in fake.pileus("status", expect=1)
    fake.pileus("up", "--detach")
    (reservation,) = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
    assert reservation["Instances"][0]["State"]["Name"] == "running"


def test_another_address_is_served_over_tls(fake, first_up):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        address = probe.getsockname()[0]
    fake.pileus("up", "--detach", "--listen", address)
    exports = fake.pileus("env")
    assert f"https://{address}:" in exports and "AWS_CA_BUNDLE=" in exports
    assert launch(fake.ec2(exports)), "the hosts have followed the controller"
    fake.pileus("up", "--detach", "--listen", "127.0.0.1")


def test_an_address_that_is_not_here_changes_nothing(fake, first_up):
    def all_that_there_is():
        files = [path for path in fake.state.glob("*.*") if path.is_file()]
        return sorted(fake.processes()), {path: path.read_bytes() for path in files}

    before = all_that_there_is()
    said = fake.pileus("up", "--detach", "--listen", "192.0.2.77", expect=1)
    assert "--listen 192.0.2.77: this machine has no such address" in said
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = fake.pileus("up", "--detach", "--port", port, expect=1)
    assert f"port {port} of 127.0.0.1 is taken" in said and "choose another with --port" in said
    assert all_that_there_is() == before
    assert "ready" in fake.pileus("status")


def test_an_endpoint_that_moves_is_said(fake, first_up):
    before, port = fake.exports()["AWS_ENDPOINT_URL"], free_port()
    said = fake.pileus("up", "--detach", "--port", port)
    assert f"the endpoint moves from {before} to http://127.0.0.1:{port}" in said
    assert f"./pileus env --state-dir {fake.state}" in said
    assert fake.exports()["AWS_ENDPOINT_URL"] == f"http://127.0.0.1:{port}"
    assert "moves" not in fake.pileus("up", "--detach", "--port", port)


def test_zones_are_added_and_the_hosts_stand_for_them(fake, first_up):
    fake.pileus("up", "--detach", "--zones", 2)
    ec2 = fake.ec2(fake.pileus("env"))
    zones = ec2.describe_availability_zones()["AvailabilityZones"]
    assert [(zone["ZoneName"], zone["ZoneId"], zone["State"]) for zone in zones] == [
        ("eu-west-1a", "euw1-az1", "available"),
        ("eu-west-1b", "euw1-az2", "available"),
    ]
    subnets = ec2.describe_subnets()["Subnets"]
    assert sorted(one["AvailabilityZone"] for one in subnets) == ["eu-west-1a", "eu-west-1b"]
    launch(ec2, Placement={"AvailabilityZone": "eu-west-1b"})
    assert "eu-west-1a,eu-west-1b" in fake.pileus("host", "list")
    assert "can become more but not fewer" in fake.pileus("up", "--zones", 1, expect=1)


def test_old_clients_signatures_are_taken_where_up_says_so(fake, first_up):
    def asks(**how) -> None:
        fake.ec2(fake.pileus("env"), **how).describe_vpcs()

    others = {"config": Config(signature_version="v2")}, {"region_name": "eucalyptus"}
    for how in others:
        with pytest.raises(ClientError, match="AuthFailure"):
            asks(**how)
    fake.pileus("up", "--detach", "--sigv2", "--signing-region", "any")
    for how in others:
        asks(**how)
    fake.pileus("up", "--detach", "--no-sigv2", "--signing-region", "eu-west-1")
    for how in others:
        with pytest.raises(ClientError, match="AuthFailure"):
            asks(**how)


def test_a_changed_service_configuration_restarts_it(fake, first_up):
    extra = fake.state / "extra"
    extra.mkdir(exist_ok=True)
    (extra / "gateway.toml").write_text('log_level = "WARNING"\n')
    assert "started anew: gateway" in fake.pileus("up", "--detach")
    (extra / "gateway.toml").write_text("colour = 1\n")
    said = fake.pileus("up", "--detach", expect=1)
    assert "unknown: colour" in said
    (extra / "gateway.toml").unlink()
    fake.pileus("up", "--detach")
