"""What libvirtd forgets when it is killed in the middle of plugging something in, of freezing or of
committing. QEMU is brought by hand to where such a cut leaves it; then libvirtd is killed.

The guests are boot sectors: they let go of a device when they are reset.
"""

import fcntl
import json
import os
import signal
import struct
import subprocess

import libvirt
import libvirt_qemu
import pytest

from hostagent.compute.drivers import GuestNic
from hostagent.compute.hypervisors.libvirt.monitor import QemuMonitor
from hostagent.kernel.errors import DriverError, NotYet, Unavailable
from hostagent.network.fake import FakeNetwork
from protos.cloud.v1 import fleet_pb2
from protos.cloud.v1.fleet_pb2 import (
    OBSERVED_RUNNING,
    OBSERVED_STOPPED,
    STOPPED,
    VOLUME_HERE,
    DiskSpec,
    NicSpec,
    VolumeSpec,
)
from tests.real.agent_host import Host, eventually, volume_of
from tests.real.boot_sector import Guest
from tests.real.libvirtd import PrivateLibvirtd

pytestmark = pytest.mark.real

MIB = 1 << 20
NAME = "i-0123456789abcdef1"
VOLUME = "vol-0000000000000000d"
OTHER = "vol-0000000000000000e"
NIC = "eni-0f09e77e000000001"
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x2, 0x1000  # linux/if_tun.h
NODE = "libvirt-3"  # the next that libvirt opens in a guest of one disk on an image


class Taps(FakeNetwork):
    """A network of taps on the host, joined to nothing."""

    def ensure_port(self, nic):
        port = super().ensure_port(nic)
        if subprocess.run(["ip", "link", "show", port.tap], capture_output=True).returncode:
            subprocess.run(["ip", "tuntap", "add", port.tap, "mode", "tap"], check=True)
        return port


@pytest.fixture(scope="module")
def daemon():
    with PrivateLibvirtd() as daemon:
        yield daemon


@pytest.fixture
def host(tmp_path, daemon):
    host = Host(tmp_path, daemon.uri, new_network=Taps)
    host.tell(NAME, Guest.LISTENS, volumes=VOLUMES)
    host.until(NAME, OBSERVED_RUNNING)
    host.until_greeted(NAME, 1)
    observed = lambda name: host.ledger.volumes.get(name).progress.observed  # noqa: E731
    eventually(lambda: {observed(one.volume_id) for one in VOLUMES} == {VOLUME_HERE})
    yield host
    host.close()
    tap = Taps().ensure_port(NicSpec(network_interface_id=NIC)).tap
    subprocess.run(["ip", "link", "del", tap], check=True)


VOLUMES = [
    VolumeSpec(volume_id=name, desired=fleet_pb2.VOLUME_PRESENT, size_bytes=64 * MIB)
    for name in (VOLUME, OTHER)
]


def disk(volume_id=VOLUME, **fields):
    return DiskSpec(volume_id=volume_id, device_name="/dev/sdf", size_bytes=64 * MIB, **fields)


def nic():
    return NicSpec(network_interface_id=NIC, mac_address="02:16:3e:f0:00:01", vpc_id="vpc-1")


def domain(host):
    return host.hypervisor._existing(NAME)


def ask(host, command, **arguments):
    """``node_name`` for QMP's node-name."""
    named = {name.replace("_", "-"): value for name, value in arguments.items()}
    return QemuMonitor(domain(host)).ask(command, **named)


def tell(host, *disks, desired=fleet_pb2.RUNNING, **fields):
    host.tell(NAME, Guest.LISTENS, desired, disks=disks, volumes=VOLUMES, **fields)


def failures(host):
    """Of the guest's devices, when they are as they were told to be, or cannot be."""
    progress = lambda: host.ledger.instances.get(NAME).progress  # noqa: E731
    eventually(lambda: progress().devices_revision == host.revision, progress)
    return [(failure.id, failure.busy) for failure in progress().device_failures]


def has(host, volume_id=VOLUME):
    return {disk.volume_id: disk for disk in host.hypervisor.disks(NAME)}.get(volume_id)


def manager(host):
    return host.on.manager


def numbers(host):
    return [layer.number for layer in host.volumes.chain(VOLUME)]


def committed(host, number):
    def done():
        try:
            manager(host).commit(VOLUME, number)
            return True
        except NotYet:
            return False

    eventually(done)


def killed(host, daemon, *, agent=False):
    daemon.kill_libvirtd()
    if agent:
        host.stop()
    daemon.start_libvirtd()
    if agent:
        host.start()
    eventually(lambda: _answers(host))


def _answers(host):
    try:
        return bool(host.hypervisor.domains())
    except Unavailable:
        return False


def open_nodes(host):
    """As files, each once for each node."""
    told = ask(host, "query-named-block-nodes", flat=True)
    return sorted(one["file"].rpartition("/")[2] for one in told if VOLUME in one["file"])


def open_by_hand(host, *, node=NODE, layer=0, with_format=True):
    """As libvirt does."""
    path = str(host.folder / "volumes" / f"{VOLUME}.{layer}.qcow2")
    ask(host, "blockdev-add", node_name=f"{node}-storage", driver="file", filename=path)
    if with_format:
        opened = {"file": f"{node}-storage", "backing": None}
        ask(host, "blockdev-add", node_name=f"{node}-format", driver="qcow2", **opened)


def plug_by_hand(host):
    open_by_hand(host)
    device = {"id": f"ua-{VOLUME}", "drive": f"{NODE}-format", "bus": "pci.0"}
    ask(host, "device_add", driver="virtio-blk-pci", **device)


def guest_io(host, command):
    """Through the disk's device, as the guest would."""
    line = f'qemu-io -d /machine/peripheral/ua-{VOLUME}/virtio-backend "{command}"'
    said = libvirt_qemu.qemuMonitorCommand(domain(host), line, 1)
    assert "rror" not in said and "failed" not in said, said


def write(host, block, byte):
    guest_io(host, f"write -P {byte} {block * MIB} 1M")


def content(host, number, blocks=4):
    whole = host.volumes.read(VOLUME, number, 0, blocks * MIB)
    return [whole[block * MIB] for block in range(blocks)]


@pytest.mark.parametrize("wanted", [VOLUME, OTHER])
@pytest.mark.parametrize("with_format", [False, True])
def test_nodes_of_an_attachment(host, daemon, with_format, wanted):
    """Also where it is another volume's that libvirt would give their names to."""
    open_by_hand(host, with_format=with_format)
    killed(host, daemon)
    tell(host, disk(wanted))
    assert failures(host) == []
    assert not has(host, wanted).untracked
    assert len(open_nodes(host)) == (2 if wanted == VOLUME else 0)
    assert host.greetings(NAME) == 1


@pytest.mark.parametrize("agent", [False, True])
def test_a_disk_is_let_go_of_and_attached(host, daemon, agent):
    plug_by_hand(host)
    killed(host, daemon, agent=agent)
    tell(host, disk(iops=300))
    assert failures(host) == [(VOLUME, True)]
    assert has(host).untracked
    assert host.hypervisor.holder(VOLUME) == NAME
    with pytest.raises(DriverError, match="open in"):
        manager(host).remove(VOLUME)
    host.hypervisor.reset(NAME)
    eventually(lambda: not has(host).untracked if has(host) else False)
    eventually(lambda: failures(host) == [])
    assert (has(host).iops, len(open_nodes(host))) == (300, 2)


def test_a_disk_that_nobody_wants_any_more_is_let_go_of(host, daemon):
    plug_by_hand(host)
    killed(host, daemon, agent=True)
    tell(host)
    assert failures(host) == [(VOLUME, True)]
    host.hypervisor.reset(NAME)
    eventually(lambda: host.hypervisor.holder(VOLUME) is None)
    eventually(lambda: failures(host) == [] and open_nodes(host) == [])
    assert has(host) is None


def test_a_stop_takes_a_disk_away_that_the_guest_does_not_let_go_of(host, daemon):
    plug_by_hand(host)
    killed(host, daemon)
    tell(host, disk())
    assert failures(host) == [(VOLUME, True)]
    tell(host, disk(), desired=STOPPED)
    host.until(NAME, OBSERVED_STOPPED)
    tell(host, disk(), starts=2)
    host.until(NAME, OBSERVED_RUNNING)
    assert failures(host) == []
    assert not has(host).untracked


def test_a_tap_that_was_handed_over_and_not_used(host, daemon):
    tap = host.network.ensure_port(nic()).tap
    with open("/dev/net/tun", "r+b", buffering=0) as file:
        fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH22x", tap.encode(), IFF_TAP | IFF_NO_PI))
        handed = {"execute": "getfd", "arguments": {"fdname": f"tapfd-ua-{NIC}0"}}
        libvirt_qemu.qemuMonitorCommandWithFiles(domain(host), json.dumps(handed), [file.fileno()])
    killed(host, daemon)
    tell(host, nics=[nic()], vpcs=[fleet_pb2.VpcSpec(vpc_id="vpc-1")])
    assert failures(host) == []
    assert list(host.hypervisor.nics(NAME)) == [GuestNic(NIC)]


@pytest.mark.parametrize("plugged", [False, True])
def test_an_interface(host, daemon, plugged):
    port = host.network.ensure_port(nic())
    tap = {"type": "tap", "ifname": port.tap, "script": "no", "downscript": "no"}
    ask(host, "netdev_add", id=f"hostua-{NIC}", **tap)
    if plugged:
        device = {"id": f"ua-{NIC}", "netdev": f"hostua-{NIC}", "mac": nic().mac_address}
        ask(host, "device_add", driver="virtio-net-pci", bus="pci.0", **device)
    killed(host, daemon, agent=plugged)
    tell(host, nics=[nic()], vpcs=[fleet_pb2.VpcSpec(vpc_id="vpc-1")])
    if plugged:
        assert failures(host) == [(NIC, True)]
        host.hypervisor.reset(NAME)
    eventually(lambda: list(host.hypervisor.nics(NAME)) == [GuestNic(NIC)])
    eventually(lambda: failures(host) == [])


def freeze_by_hand(host, *, as_far_as):
    """1: the nodes are there; 2: the guest writes layer 1."""
    host.volumes.add_layer(VOLUME, 0)
    open_by_hand(host, node="libvirt-4", layer=1)
    if as_far_as == 2:
        ask(host, "blockdev-snapshot", node=f"{NODE}-format", overlay="libvirt-4-format")


@pytest.fixture
def written(host):
    """The guest has the disk, and wrote to it."""
    tell(host, disk(iops=300))
    assert failures(host) == []
    write(host, 0, 1)
    return host


def test_a_freeze_that_was_not_done(written, daemon):
    host = written
    freeze_by_hand(host, as_far_as=1)
    killed(host, daemon, agent=True)
    assert manager(host).top(VOLUME).number == 0
    manager(host).freeze(VOLUME, 0)
    write(host, 1, 2)
    assert content(host, 0) == [1, 0, 0, 0]
    committed(host, 0)
    assert numbers(host) == [0, 1]


@pytest.mark.parametrize("agent", [False, True])
def test_a_freeze_that_was_done_stays_done(written, daemon, agent):
    """And what the guest wrote since is where it was written."""
    host = written
    freeze_by_hand(host, as_far_as=2)
    write(host, 1, 2)
    assert 'index="3"' in domain(host).XMLDesc(0).replace("'", '"')  # libvirt does not know
    killed(host, daemon, agent=agent)
    manager(host).freeze(VOLUME, 0)
    frozen_then_went_on(host)


def test_cut_again_as_a_freeze_is_put_right(written, daemon):
    """The disk has nothing that it could write then, and the guest waits."""
    host = written
    freeze_by_hand(host, as_far_as=2)
    write(host, 1, 2)
    host.stop()
    connection = libvirt.open(daemon.uri)
    guest = connection.lookupByName(NAME)
    guest.suspend()
    monitor, stand_in = QemuMonitor(guest), {"driver": "null-co", "size": 64 * MIB}
    errors = [{"event": "none", "errno": 5}]
    fields = {"driver": "blkdebug", "image": stand_in, "inject-error": errors}
    monitor.ask("blockdev-add", **{"node-name": f"{VOLUME}.1", **fields})
    monitor.put(f"ua-{VOLUME}", f"{VOLUME}.1")
    connection.close()
    daemon.kill_libvirtd()
    daemon.start_libvirtd()
    host.start()
    frozen_then_went_on(host)


def frozen_then_went_on(host):
    """Layer 0 is of the moment before the second write; libvirt does all as ever."""
    eventually(lambda: has(host).path.name == f"{VOLUME}.1.qcow2")
    eventually(lambda: domain(host).state()[0] == libvirt.VIR_DOMAIN_RUNNING)
    assert content(host, 0) == [1, 0, 0, 0]
    write(host, 2, 3)
    assert (manager(host).top(VOLUME).number, has(host).iops) == (1, 300)
    limits = [one["inserted"]["iops"] for one in ask(host, "query-block") if VOLUME in one["qdev"]]
    assert limits == [300]
    manager(host).freeze(VOLUME, 1)
    write(host, 3, 4)
    assert content(host, 1) == [1, 2, 3, 0]
    committed(host, 1)
    assert numbers(host) == [0, 2]
    assert open_nodes(host) == [f"{VOLUME}.0.qcow2"] * 2 + [f"{VOLUME}.2.qcow2"] * 2
    assert manager(host).grow(VOLUME, 96 * MIB) == 96 * MIB
    assert host.greetings(NAME) == 1
    tell(host, disk(), desired=STOPPED)
    host.until(NAME, OBSERVED_STOPPED)
    manager(host).freeze(VOLUME, 2)
    assert content(host, 2) == [1, 2, 3, 4]
    assert has(host, volume_of(NAME)) is None


def test_a_freeze_is_found_done_when_the_guest_is_killed(written, daemon):
    """Before anybody put it right: the files tell."""
    host = written
    freeze_by_hand(host, as_far_as=2)
    write(host, 1, 2)
    guest_io(host, "flush")
    host.stop()
    killed_daemon_and_guest(daemon)
    host.start()
    host.until_greeted(NAME, 2)
    assert has(host).path.name == f"{VOLUME}.1.qcow2"
    assert content(host, 0) == [1, 0, 0, 0]
    manager(host).freeze(VOLUME, 1)
    assert content(host, 1) == [1, 2, 0, 0]


def killed_daemon_and_guest(daemon):
    daemon.kill_libvirtd()
    for pid in daemon.qemu_pids():
        os.kill(pid, signal.SIGKILL)
    daemon.start_libvirtd()


def test_a_commit_that_was_done(written, daemon):
    host = written
    for number in range(3):
        manager(host).freeze(VOLUME, number)
        write(host, number + 1, number + 2)
    layers = {"top_node": "libvirt-5-format", "base_node": f"{NODE}-format"}
    ask(host, "block-commit", job_id="forgotten", device="libvirt-6-format", **layers)
    eventually(lambda: numbers(host) == [0, 3])
    killed(host, daemon)
    committed(host, 2)
    assert len(list((host.folder / "volumes").glob(f"{VOLUME}.*"))) == 2
    manager(host).freeze(VOLUME, 3)
    committed(host, 3)
    assert numbers(host) == [0, 4]
    manager(host).freeze(VOLUME, 4)
    assert content(host, 4) == [1, 2, 3, 4]
    assert open_nodes(host) == sorted(2 * [f"{VOLUME}.{number}.qcow2" for number in (0, 4, 5)])
