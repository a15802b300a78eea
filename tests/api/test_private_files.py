"""Nothing of a tenant is readable by other users of the machine, whatever umask ``up`` began with.

The whole state folder of a cloud is walked after launches, volumes, snapshots, uploads and a fetch
of an image. What is open to others is in ``OPEN`` with its reason, all else grants them nothing.
"""

import functools
import http.server
import os
import stat
import tempfile
import threading
from pathlib import Path

import pytest

from tests.harness.typed import Typed, free_port

FOR_OTHERS = stat.S_IRWXG | stat.S_IRWXO
# Other users' clients know the endpoint by the authority's certificate, and are told whose cloud it
# is (cli/cloud.py): the way there can be walked, not listed.
OPEN = {".": 0o711, "pki": 0o711, "pki/ca.crt": 0o644}
FAST = {"Delay": 1, "MaxAttempts": 60}
DISK = bytes(510) + b"\x55\xaa" + bytes(512 * 1023)


@pytest.fixture(scope="module")
def images_url():
    """A server with one disk file, from which an image is fetched."""
    with tempfile.TemporaryDirectory(prefix="pileus-") as folder:
        (Path(folder) / "disk.raw").write_bytes(DISK)
        handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield f"http://127.0.0.1:{server.server_port}/"
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def lived_in(images_url):
    """A cloud that was brought up with a umask that keeps nothing back, and used."""
    with tempfile.TemporaryDirectory(prefix="pileus-") as folder:
        made = Typed(Path(folder))
        before = os.umask(0)
        try:
            (made.state / "extra").mkdir(parents=True)  # the operator's own
            (made.state / "extra").chmod(0o700)
            (made.state / "extra" / "controller.toml").write_text(
                f'[images]\nsources = ["{images_url}"]\n'
            )
            made.pileus("up", "--detach", "--hypervisor", "fake", "--port", free_port())
            _use(made, images_url)
            yield made
        finally:
            os.umask(before)
            made.pileus("down", "--destroy")


def _use(made: Typed, images_url: str) -> None:
    ec2 = made.ec2(made.pileus("env"))
    fetched = ec2.register_image(Name="fetched", ImageLocation=f"{images_url}disk.raw")["ImageId"]
    ec2.get_waiter("image_available").wait(ImageIds=[fetched], WaiterConfig=FAST)
    (instance,) = ec2.run_instances(
        ImageId=fetched, InstanceType="t2.nano", MinCount=1, MaxCount=1, UserData="a secret"
    )["Instances"]
    ec2.get_waiter("instance_running").wait(InstanceIds=[instance["InstanceId"]], WaiterConfig=FAST)
    zone = instance["Placement"]["AvailabilityZone"]
    volume = ec2.create_volume(AvailabilityZone=zone, Size=1)["VolumeId"]
    ec2.get_waiter("volume_available").wait(VolumeIds=[volume], WaiterConfig=FAST)
    snapshot = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[snapshot], WaiterConfig=FAST)
    restored = ec2.create_volume(AvailabilityZone=zone, SnapshotId=snapshot)["VolumeId"]
    ec2.get_waiter("volume_available").wait(VolumeIds=[restored], WaiterConfig=FAST)


def granted(root: Path) -> dict[str, int]:
    """path -> mode, of all below the folder that grants anything to group or others."""
    found = {}
    for path in (root, *root.rglob("*")):
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode) and mode & FOR_OTHERS:
            found[str(path.relative_to(root))] = stat.S_IMODE(mode)
    return found


def test_all_kinds_of_files_are_there(lived_in):
    """Else the next test looks at nothing."""
    for pattern in (
        "controller/pileus.db-wal",
        "controller/images/blobs/*",
        "controller/snapshots/manifests/*/*",
        "hosts/host-1/ledger.db-wal",
        "hosts/host-1/instances/*.log",
        "hosts/host-1/run/fake-images/*",
        "hosts/host-1/run/fake-guests.json",
        "logs/controller.log",
    ):
        assert list(lived_in.state.glob(pattern)), pattern


def test_nothing_is_open_to_others_but_what_must_be(lived_in):
    ours = {
        path: mode
        for path, mode in granted(lived_in.state).items()
        if path != "extra/controller.toml"  # the operator's own, which this test wrote
    }
    assert ours == OPEN


def test_what_an_earlier_version_left_open_is_closed_by_the_next_up(lived_in):
    """By itself or by the folder on the way: who walks from the state dir comes to nothing."""
    lived_in.pileus("down")
    for folder in ("controller", "hosts", "logs"):
        for path in lived_in.state.joinpath(folder).rglob("*"):
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
    lived_in.pileus("up", "--detach")
    assert _reached(lived_in.state) <= {"pki/ca.crt"}


def _reached(root: Path) -> set[str]:
    """Files that other users can read, as they come to them from this folder."""

    def below(folder: Path) -> set[Path]:
        if not folder.stat().st_mode & stat.S_IXOTH:
            return set()
        files = {path for path in folder.iterdir() if path.is_file()}
        found = {path for path in files if path.stat().st_mode & stat.S_IROTH}
        return found.union(*(below(path) for path in folder.iterdir() if path.is_dir()))

    return {str(path.relative_to(root)) for path in below(root)}
