"""Volumes served to other hosts: NBD over TLS by a real qemu-storage-daemon; it needs no root."""

import json
import os
import shutil
import signal
import socket
import subprocess

import pytest

from hostagent.kernel import shell
from hostagent.kernel.errors import DriverError, NotYet, Unavailable
from hostagent.kernel.shell import CommandError
from hostagent.ledger import HostLedger, open_file
from hostagent.storage.images.fake import FakeImages
from hostagent.storage.volumes.exports import HOLDER, NoExports, QemuExports
from hostagent.storage.volumes.manager import VolumeManager
from hostagent.storage.volumes.qcow2 import Qcow2Volumes
from hostagent.storage.volumes.storage_daemon import StorageDaemon, link_tls
from protos.cloud.v1.fleet_pb2 import DiskSpec, ImageSource
from protos.rpc import dns_name
from tests.harness.waiting import wait_until
from tests.unit.hostagent.cloud import Authority
from tests.unit.hostagent.rig import Rig
from tests.unit.hostagent.test_volume_worker import observed, tell, volume
from tests.unit.hostagent.volume_backends import NoGuests
from tests.unit.qcow2_corpus import broken

pytestmark = pytest.mark.skipif(
    not shutil.which("qemu-storage-daemon") or not shutil.which("qemu-io"),
    reason="needs qemu-storage-daemon and qemu-io",
)

MIB = 1 << 20
VOLUME, OTHER = "vol-0123456789abcdef0", "vol-0123456789abcdef1"
HOME, GUEST, STRANGER = "h-00000000000000009", "h-00000000000000001", "h-00000000000000003"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Home:
    """The host that has the volumes, and what others do to it."""

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        self.authority = Authority()
        (folder / "pki").mkdir()
        self.tls = self.authority.files(folder / "pki", f"host:{HOME}")
        for name in (GUEST, STRANGER):
            (folder / name).mkdir()
            link_tls(folder / name, self.authority.files(folder / "pki", f"host:{name}"))
        self.volumes = Qcow2Volumes(folder / "volumes", shell.run)
        self.again()

    def again(self) -> None:
        """Another process of the agent."""
        self.exports = QemuExports(
            self.folder / "nbd", f"127.0.0.1:{self.port}", "", self.tls, self.volumes, shell.run
        )
        self.exports.start()
        ledger = HostLedger(open_file(":memory:"), HOME, now_ms=1, boot_id="b")
        self.manager = VolumeManager(
            self.volumes, NoGuests(), FakeImages(lambda: 0), ledger.volumes, self.exports
        )

    def ask(self, *commands, host=GUEST, volume=VOLUME) -> str:
        return shell.run(self.qemu_io(*commands, host=host, volume=volume)).stdout

    def qemu_io(self, *commands, host=GUEST, volume=VOLUME) -> list[str]:
        """As that host's QEMU: what is written is not flushed."""
        folder = self.folder / host
        server = f"server.type=inet,server.host=127.0.0.1,server.port={self.port}"
        image = f"driver=nbd,{server},export={volume},tls-creds=tls"
        words = [word for command in commands for word in ("-c", command)]
        return [
            *("qemu-io", "-t", "writeback"),
            *("--object", f"tls-creds-x509,id=tls,dir={folder},endpoint=client"),
            *("--image-opts", f"{image},tls-hostname={dns_name(f'host:{HOME}')}", *words),
        ]

    def is_allowed(self, host, volume=VOLUME) -> bool:
        try:
            self.ask("read 0 512", host=host, volume=volume)
        except CommandError:
            return False
        return True


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path)
    yield home
    home.exports.stop()


def made(home, volume=VOLUME, **fields):
    return home.volumes.ensure(DiskSpec(volume_id=volume, size_bytes=8 * MIB, **fields), None)


def until(act):
    def done():
        try:
            act()
        except NotYet:
            return False
        return True

    wait_until("the commit is done", done)


def test_written_by_the_host_it_is_served_to_and_by_no_other(home):
    home.exports.serve(made(home), [GUEST])
    home.ask("write -P 7 1M 4k")
    assert not home.is_allowed(STRANGER)
    assert home.is_allowed(GUEST)
    assert home.exports.served() == [VOLUME]
    assert home.exports.holder(VOLUME) == HOLDER
    home.exports.withdraw(VOLUME)
    assert not home.is_allowed(GUEST)
    assert (list(home.exports.served()), home.exports.holder(VOLUME)) == ([], None)
    assert home.volumes.read(VOLUME, 0, MIB, 4) == bytes([7] * 4)
    home.exports.withdraw(VOLUME)


def test_without_a_certificate_of_the_cloud_nobody_gets_in(home, tmp_path):
    home.exports.serve(made(home), [GUEST])
    forger, folder = Authority(), tmp_path / "forged"
    folder.mkdir()
    link_tls(tmp_path / STRANGER, forger.files(folder, f"host:{GUEST}"))
    assert not home.is_allowed(STRANGER)
    with pytest.raises(CommandError):
        shell.run(["qemu-img", "info", f"nbd://127.0.0.1:{home.port}/{VOLUME}"])


def test_the_agents_next_process_finds_it_and_a_killed_daemon_comes_again(home):
    disk = made(home)
    home.exports.serve(disk, [GUEST])
    (pid,) = home.exports._daemon.pids()
    home.ask("write -P 7 1M 4k")
    home.again()
    home.exports.serve(disk, [GUEST])
    assert home.exports._daemon.pids() == [pid]
    os.kill(pid, signal.SIGKILL)
    wait_until("the daemon is dead", lambda: home.exports.holder(VOLUME) is None)
    home.exports.serve(home.volumes.find(DiskSpec(volume_id=VOLUME)), [GUEST])
    assert "read 4096/4096" in home.ask("read -P 7 1M 4k")


def test_what_was_answered_and_never_flushed_outlives_the_daemon(home):
    home.exports.serve(made(home), [GUEST])
    (pid,) = home.exports._daemon.pids()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(home.qemu_io(), **pipes) as client:  # at its end it would flush
        try:
            client.stdin.write("write -P 7 1M 4k\n")
            client.stdin.flush()
            assert "wrote 4096/4096" in client.stdout.readline()
            os.kill(pid, signal.SIGKILL)
        finally:
            client.kill()
    wait_until("the daemon is dead", lambda: home.exports.holder(VOLUME) is None)
    assert home.volumes.read(VOLUME, 0, MIB, 4) == bytes([7] * 4)


def test_frozen_committed_and_grown_while_it_is_served(home, tmp_path):
    base = tmp_path / "base.raw"
    base.write_bytes(b"\5" * MIB)
    image = ImageSource(digest="sha256:" + "a" * 64, disk_format="raw", virtual_size_bytes=MIB)
    spec = DiskSpec(volume_id=VOLUME, size_bytes=8 * MIB, image=image)
    home.exports.serve(home.volumes.ensure(spec, base), [GUEST])
    for number in range(3):
        home.ask(f"write -P {number + 1} {number + 1}M 4k")
        home.volumes.add_layer(VOLUME, number)  # cut before the daemon was told
        home.manager.freeze(VOLUME, number)
        home.manager.freeze(VOLUME, number)
        assert home.manager.top(VOLUME).number == number + 1
    home.ask("write -P 9 1M 4k")
    assert home.volumes.read(VOLUME, 2, MIB, 2) == b"\1\1"
    until(lambda: home.manager.commit(VOLUME, 1))
    assert [layer.number for layer in home.volumes.chain(VOLUME)] == [0, 2, 3]
    until(lambda: home.manager.commit(VOLUME, 2))
    until(lambda: home.manager.commit(VOLUME, 2))
    assert [layer.number for layer in home.volumes.chain(VOLUME)] == [0, 3]
    assert home.exports._nodes(VOLUME) == {f"{VOLUME}.{end}" for end in ("base", "0", "3")}
    assert home.manager.grow(VOLUME, 16 * MIB) == 16 * MIB
    home.ask("read -P 5 0 4k", "read -P 9 1M 4k", "read -P 2 2M 4k", "write -P 4 15M 4k")
    with pytest.raises(DriverError, match="open in"):
        home.manager.remove(VOLUME)
    home.exports.withdraw(VOLUME)
    whole = home.volumes.read(VOLUME, 3, 0, 16 * MIB)
    assert [whole[at * MIB] for at in (0, 1, 2, 3, 4, 15)] == [5, 9, 2, 3, 0, 4]
    home.manager.remove(VOLUME)


def test_a_commit_that_fails_is_heard_of_and_begins_anew_when_it_is_asked_for(home):
    made(home)
    disk = DiskSpec(volume_id=VOLUME)
    home.volumes.add_layer(VOLUME, 0)
    frozen = home.volumes.chain(VOLUME)[1].path
    shell.run(["qemu-io", "-f", "qcow2", "-c", "write -P 7 1M 4k", frozen])
    home.volumes.add_layer(VOLUME, 1)
    with broken(frozen):
        home.manager.serve(disk, [GUEST])
        for _ in range(2):
            with pytest.raises(DriverError, match="its commit failed: Input/output error"):
                until(lambda: home.manager.commit(VOLUME, 1))
        with pytest.raises(NotYet):
            home.manager.commit(VOLUME, 1)
        until(lambda: home.manager.serve(disk, ()))
    home.manager.serve(disk, [GUEST])
    until(lambda: home.manager.commit(VOLUME, 1))
    assert [layer.number for layer in home.volumes.chain(VOLUME)] == [0, 2]
    home.ask("read -P 7 1M 4k")


def test_what_is_done_to_layers_waits_for_their_commit(home):
    made(home)
    home.manager.serve(DiskSpec(volume_id=VOLUME), [GUEST])
    home.manager.freeze(VOLUME, 0)
    home.ask("write -P 7 1M 4M")
    home.manager.freeze(VOLUME, 1)
    ends = {"device": f"{VOLUME}.2", "top-node": f"{VOLUME}.1", "base-node": f"{VOLUME}.0"}
    slow = {"job-id": VOLUME, "speed": 1 << 16, "auto-dismiss": False}
    home.exports._daemon.tell("block-commit", **ends, **slow)
    waiting = (
        lambda: home.manager.freeze(VOLUME, 2),
        lambda: home.manager.grow(VOLUME, 16 * MIB),
        lambda: home.manager.serve(DiskSpec(volume_id=VOLUME), ()),
    )
    for act in waiting:
        with pytest.raises(NotYet, match="committing"):
            act()
    assert home.exports.served() == [VOLUME]
    home.exports._daemon.tell("block-job-set-speed", device=VOLUME, speed=0)
    for act in waiting:
        until(act)
    assert [layer.number for layer in home.volumes.chain(VOLUME)] == [0, 2, 3]
    assert home.volumes.chain(VOLUME)[-1].size_bytes == 16 * MIB


def test_a_host_that_listens_elsewhere_from_now_on_serves_there(home):
    disk = made(home)
    home.exports.serve(disk, [GUEST])
    home.port = free_port()
    home.again()
    home.exports.serve(disk, [GUEST])
    assert home.is_allowed(GUEST)
    assert len(home.exports._daemon.pids()) == 1


def test_a_host_whose_port_is_anothers_names_no_endpoint(home):
    home.exports.stop()
    with socket.create_server(("127.0.0.1", home.port)):
        home.again()
        assert home.exports.endpoint == ""
        with pytest.raises(Unavailable, match="in use"):
            home.exports.serve(made(home), [GUEST])
    home.again()
    assert home.exports.endpoint == f"127.0.0.1:{home.port}"


def test_a_daemon_that_cannot_run_is_waited_for_longer_than_all_tries_last(home):
    """Its absence is nobody's failed try: neither of a volume that is to be served, nor of one that
    is served already."""
    rig = Rig(home.folder)
    rig.volumes, rig.exports = home.volumes, home.exports
    rig.restart()
    told = [volume(VOLUME, 1, size_bytes=8 * MIB), volume(OTHER, 2, size_bytes=8 * MIB)]
    for one in told:
        one.served_to_host_ids.append(GUEST)
    tell(rig, told[0])
    assert observed(rig, VOLUME) == "VOLUME_HERE"
    home.exports.stop()
    with socket.create_server(("127.0.0.1", home.port)):
        tell(rig, told[1])
        rig.pass_ms(90_000)
        assert (observed(rig, VOLUME), observed(rig, OTHER)) == ("VOLUME_HERE", "VOLUME_MAKING")
    rig.pass_ms(10_000)
    assert observed(rig, OTHER) == "VOLUME_HERE"
    assert home.exports.served() == [VOLUME, OTHER]
    assert home.is_allowed(GUEST, OTHER)


def test_two_volumes_and_the_hosts_of_both(home):
    home.exports.serve(made(home), [GUEST])
    home.exports.serve(made(home, OTHER), [STRANGER])
    assert home.exports.served() == [VOLUME, OTHER]
    assert home.is_allowed(STRANGER, OTHER)
    home.exports.withdraw(OTHER)
    wait_until("the stranger is shut out", lambda: not home.is_allowed(STRANGER))
    assert home.is_allowed(GUEST)
    kept = json.loads((home.folder / "nbd" / "served.json").read_text())
    assert kept == {VOLUME: [GUEST]}


def test_who_connects_is_not_kept_waiting_by_nagles_algorithm(home):
    """What is accepted inherits it from the socket that listens."""
    delays = []

    def run(argv, *, pass_fds):
        with socket.socket(fileno=os.dup(pass_fds[0])) as server:
            delays.append(server.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        return shell.run(argv, pass_fds=pass_fds)

    listen = f"127.0.0.1:{free_port()}"
    daemon = StorageDaemon(home.folder / "other", listen, home.tls, run)
    daemon.ensure()
    try:
        assert daemon.is_running() and delays == [1]
    finally:
        daemon.stop()


def test_an_address_that_is_taken_is_named(home):
    daemon = StorageDaemon(home.folder / "other", f"127.0.0.1:{home.port}", home.tls, shell.run)
    home.exports.serve(made(home), [GUEST])
    with pytest.raises(Unavailable, match=f"cannot listen on 127.0.0.1:{home.port}"):
        daemon.ensure()


def test_a_host_that_serves_nothing_says_so():
    with pytest.raises(DriverError, match="not configured"):
        NoExports().serve(None, [GUEST])
    with pytest.raises(DriverError, match="not configured"):
        NoExports().freeze_disks(HOLDER, {}, quiesce=False)
    assert (NoExports().holder(VOLUME), NoExports().disks(HOLDER)) == (None, ())


@pytest.mark.parametrize("torn", [b"", b'{"vol-0123456789', b"[]", b"\0" * 100])
def test_whom_it_serves_is_gathered_anew_where_that_is_torn(home, torn):
    """As a power failure may leave it: what is served is told again and again."""
    for one in (VOLUME, OTHER):
        home.exports.serve(made(home, one), [GUEST])
    (home.folder / "nbd" / "served.json").write_bytes(torn)
    home.again()
    home.exports.serve(home.volumes.find(DiskSpec(volume_id=VOLUME)), [GUEST])
    assert home.is_allowed(GUEST)
    home.exports.withdraw(OTHER)
    home.exports.serve(home.volumes.find(DiskSpec(volume_id=VOLUME)), [GUEST, STRANGER])
    assert home.is_allowed(STRANGER)
    kept = json.loads((home.folder / "nbd" / "served.json").read_text())
    assert kept == {VOLUME: [GUEST, STRANGER]}


def test_a_layer_that_cannot_be_read_is_its_own_volumes_trouble(home):
    for one in (VOLUME, OTHER):
        home.exports.serve(made(home, one), [GUEST])
    (layer,) = home.volumes.chain(OTHER)
    layer.path.write_bytes(b"torn")
    home.manager.freeze(VOLUME, 0)
    assert [one.number for one in home.volumes.chain(VOLUME)] == [0, 1]
    assert home.manager.grow(VOLUME, 16 * MIB) == 16 * MIB
    with pytest.raises(DriverError, match="is broken"):
        home.manager.freeze(OTHER, 0)
