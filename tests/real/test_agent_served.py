"""A guest whose disk is another host's: NBD over TLS, libvirt and QEMU for real.

Its root disk is served, so that its greeting says that it can be read.
"""

import os
import signal

import pytest

from hostagent.compute.hypervisors.libvirt.monitor import QemuMonitor
from hostagent.kernel.errors import DriverError
from hostagent.storage.volumes.storage_daemon import link_tls
from protos.cloud.v1 import fleet_pb2
from protos.cloud.v1.fleet_pb2 import OBSERVED_RUNNING, DiskSpec, InstanceSpec, RemoteDisk
from protos.rpc import dns_name
from tests.real.agent_host import Host, eventually
from tests.real.boot_sector import Guest, boot_sector
from tests.real.libvirtd import PrivateLibvirtd
from tests.unit.hostagent.rig import Told, host_spec
from tests.unit.hostagent.test_exports import GUEST, HOME, MIB, VOLUME, Home, made, until

pytestmark = pytest.mark.real

NAME = "i-0123456789abcdef1"


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir()
    home = Home(tmp_path / "home")
    yield home
    home.exports.stop()


@pytest.fixture
def daemon(home):
    """Of the guest's host, whose certificate its QEMU has."""
    with PrivateLibvirtd() as daemon:
        tls = home.authority.files(home.folder / "pki", f"host:{GUEST}")
        link_tls(daemon.folder / "nbd", tls)
        yield daemon


@pytest.fixture
def host(tmp_path, daemon):
    """The guest's."""
    (tmp_path / "host").mkdir()
    host = Host(tmp_path / "host", daemon.uri)
    yield host
    host.close()


def test_a_guest_runs_on_another_hosts_volume(home, host):
    disk = made(home)
    home.exports.serve(disk, [GUEST])
    sector = home.folder / "sector"
    sector.write_bytes(boot_sector(Guest.LISTENS)[:512])
    home.ask(f"write -s {sector} 0 512")
    tell(host, home)
    host.until(NAME, OBSERVED_RUNNING)
    host.until_greeted(NAME, 1)
    (there,) = host.hypervisor.disks(NAME)
    assert (there.volume_id, there.path, there.size_bytes) == (VOLUME, None, 8 * MIB)

    (pid,) = home.exports._daemon.pids()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: home.exports.holder(VOLUME) is None)
    home.exports.serve(home.volumes.find(DiskSpec(volume_id=VOLUME)), [GUEST])
    tell(host, home, reboots=1)
    host.until_greeted(NAME, 2)

    home.manager.freeze(VOLUME, 0)
    home.manager.freeze(VOLUME, 1)
    until(lambda: home.manager.commit(VOLUME, 1))
    assert [layer.number for layer in home.volumes.chain(VOLUME)] == [0, 2]
    eventually(lambda: host.ledger.instances.get(NAME).progress.reboots_done == 1)
    tell(host, home, reboots=2)
    host.until_greeted(NAME, 3)

    with pytest.raises(DriverError, match="Cannot grow"):
        host.hypervisor.resize_disk(NAME, VOLUME, 16 * MIB)
    assert home.manager.grow(VOLUME, 16 * MIB) == 16 * MIB
    eventually(lambda: host.ledger.instances.get(NAME).progress.reboots_done == 2)
    tell(host, home, reboots=3)
    host.until_greeted(NAME, 4)  # it read something, so that QEMU has connected anew
    host.hypervisor.resize_disk(NAME, VOLUME, 16 * MIB)
    (there,) = host.hypervisor.disks(NAME)
    assert there.size_bytes == 16 * MIB
    host.until(NAME, OBSERVED_RUNNING)
    assert host.leftovers() == []


@pytest.mark.parametrize("with_node", [False, True])
def test_what_libvirtd_opened_as_it_was_killed_is_closed(home, host, daemon, with_node):
    home.exports.serve(made(home), [GUEST])
    host.tell(NAME, Guest.LISTENS)
    host.until(NAME, OBSERVED_RUNNING)
    monitor, creds = QemuMonitor(host.hypervisor._existing(NAME)), "objlibvirt-3-storage_tls0"
    tls = {"endpoint": "client", "dir": str(daemon.folder / "nbd")}
    monitor.ask("object-add", **{"qom-type": "tls-creds-x509", "id": creds, **tls})
    if with_node:
        server = {"type": "inet", "host": "127.0.0.1", "port": str(home.port)}
        node = {"driver": "nbd", "server": server, "export": VOLUME, "tls-creds": creds}
        named = {"node-name": "libvirt-3-storage", "tls-hostname": dns_name(f"host:{HOME}")}
        monitor.ask("blockdev-add", **node, **named)
    daemon.kill_libvirtd()
    daemon.start_libvirtd()
    host.tell(NAME, Guest.LISTENS, disks=[remote_disk(home)])
    progress = lambda: host.ledger.instances.get(NAME).progress  # noqa: E731
    eventually(lambda: progress().devices_revision == host.revision, progress)
    assert progress().device_failures == ()
    there = {disk.volume_id: disk for disk in host.hypervisor.disks(NAME)}[VOLUME]
    assert (there.size_bytes, there.untracked) == (8 * MIB, False)


def remote_disk(home) -> DiskSpec:
    remote = RemoteDisk(host_id=HOME, host="127.0.0.1", port=home.port, export_name=VOLUME)
    return DiskSpec(volume_id=VOLUME, device_name="/dev/xvda", size_bytes=8 * MIB, remote=remote)


def tell(host, home, **fields) -> None:
    host.revision += 1
    spec = InstanceSpec(
        instance_id=NAME,
        intent_revision=host.revision,
        desired=fleet_pb2.RUNNING,
        vcpus=1,
        memory_mib=64,
        starts=1,
        **fields,
    )
    spec.disks.append(remote_disk(home))
    host.agent.apply(host_spec(Told(spec, host.revision), base=host.revision - 1, vpcs=()))
