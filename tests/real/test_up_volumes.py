"""Volumes, for real: unmodified boto3 gives running guests disks, and what is written stays.

The tests of this file are one story, in order; two instances run all the while. In between agent
and libvirtd are killed.
"""

import threading

import pytest

from tests.real.real_cloud import eventually
from tests.real.tenant import READ, SLOW_S, WRITE, Tenant


@pytest.fixture(scope="module")
def tenant(cloud, tmp_path_factory):
    return Tenant.of(cloud, "volumes", tmp_path_factory.mktemp("key"))


@pytest.fixture(scope="module")
def guests(tenant):
    ids = tenant.launched(2)
    yield ids
    tenant.terminate(ids)


@pytest.fixture(scope="module")
def volume(tenant, guests):
    return tenant.created(Size=1)


@pytest.fixture(scope="module")
def written(tenant, guests, volume) -> str:
    """The digest of what the first guest wrote to it."""
    tenant.attach(volume, guests[0])
    tenant.format(volume, guests[0])
    return tenant.said(guests[0], WRITE)


def test_a_running_guest_gets_a_disk_by_its_serial_and_writes(written):
    assert len(written.split()[0]) == 32


def test_it_grows_while_it_is_mounted(tenant, guests, volume, written):
    tenant.ec2.modify_volume(VolumeId=volume, Size=2)
    grown = lambda: tenant.bytes_of(volume, guests[0]) == 2 << 30  # noqa: E731
    eventually(grown, "it has grown", SLOW_S)

    def completed():
        answer = tenant.ec2.describe_volumes_modifications(VolumeIds=[volume])
        (change,) = answer["VolumesModifications"]
        return change["ModificationState"] in ("optimizing", "completed")

    eventually(completed, "the modification is completed", SLOW_S)
    assert tenant.said(guests[0], READ) == written


def test_another_guest_reads_what_the_first_wrote(tenant, guests, volume, written):
    tenant.detach(volume, guests[0])
    tenant.attach(volume, guests[1])
    tenant.mount(volume, guests[1])
    assert tenant.said(guests[1], READ) == written
    assert tenant.bytes_of(volume, guests[1]) == 2 << 30


def test_detached_under_load_with_agent_and_libvirtd_killed(cloud, tenant, guests, volume, written):
    load = "for i in $(seq 8); do dd if=/dev/zero of=/mnt/v/$i bs=64k count=400 || true; done"
    writer = threading.Thread(target=tenant.said, args=(guests[1], load))
    writer.start()
    cloud.kill("hostagent")
    tenant.ec2.detach_volume(VolumeId=volume, Force=True)
    cloud.kill("libvirtd")
    cloud.kill("hostagent")
    tenant.until(volume, "available")
    writer.join()
    tenant.said(guests[1], "umount -l /mnt/v; true")
    tenant.attach(volume, guests[0])
    tenant.mount(volume, guests[0])
    assert tenant.said(guests[0], READ) == written
    assert tenant.instance(guests[1])["State"]["Name"] == "running"


def test_deleted_when_nobody_has_it(cloud, tenant, guests, volume, written):
    tenant.detach(volume, guests[0])
    tenant.ec2.delete_volume(VolumeId=volume)
    gone = lambda: not list(cloud.layout.root.rglob(f"{volume}.*"))  # noqa: E731
    eventually(gone, "its files are gone", SLOW_S)
