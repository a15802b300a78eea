"""The volume backends, each with what a guest would do to its disks; what a disk is to be."""

import shutil

import pytest

from hostagent.kernel import shell
from hostagent.storage.volumes.fake import FakeVolumes
from hostagent.storage.volumes.qcow2 import Qcow2Volumes
from protos.cloud.v1.fleet_pb2 import DiskSpec, ImageSource

needs_qemu_img = pytest.mark.skipif(not shutil.which("qemu-img"), reason="needs qemu-img")

MIB = 1 << 20
VOLUME = "vol-0123456789abcdef0"


class Qcow2:
    """The real backend, and what a guest would do to its files."""

    def __init__(self, folder):
        self.volumes = Qcow2Volumes(folder / "volumes", shell.run)
        self.folder = folder

    def again(self):
        """The agent's process is another one."""
        self.volumes = Qcow2Volumes(self.folder / "volumes", shell.run)
        self.volumes.start()
        return self.volumes

    def write(self, start, data, layer=None):
        part = self.folder / "written"
        part.write_bytes(data)
        layer = layer or self.volumes.chain(VOLUME)[-1].path
        shell.run(["qemu-io", "-f", "qcow2", "-c", f"write -s {part} {start} {len(data)}", layer])

    def discard(self, start, length):
        top = self.volumes.chain(VOLUME)[-1].path
        shell.run(["qemu-io", "-f", "qcow2", "-c", f"write -z {start} {length}", top])

    def resize(self, layer, size):
        shell.run(["qemu-img", "resize", "-q", "-f", "qcow2", layer, str(size)])


class Fake:
    """The fake one, in a file."""

    def __init__(self, folder):
        self.folder = folder
        self.again()

    def again(self):
        self.volumes = FakeVolumes(path=self.folder / "volumes.json", read_base=self._read_base)
        return self.volumes

    def write(self, start, data, layer=None):
        self.volumes.write(VOLUME, start, data, layer)

    def discard(self, start, length):
        self.volumes.write(VOLUME, start, bytes(length))

    def resize(self, layer, size):
        self.volumes.resize(VOLUME, layer, size)

    def _read_base(self, path, start, length):
        return path.read_bytes()[start : start + length]


class NoGuests:
    """A hypervisor with none."""

    def holder(self, volume_id):
        return None


def disk(size=4 * MIB, **fields):
    image = ImageSource(digest="sha256:" + "a" * 64, disk_format="raw", virtual_size_bytes=MIB)
    return DiskSpec(
        volume_id=VOLUME, device_name="/dev/xvda", size_bytes=size, image=image, **fields
    )


def blank(size=4 * MIB):
    return DiskSpec(volume_id=VOLUME, device_name="/dev/xvdf", size_bytes=size)


def numbers(volumes):
    return [layer.number for layer in volumes.chain(VOLUME)]
