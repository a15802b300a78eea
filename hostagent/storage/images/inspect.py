"""Whether an image file may be used: strictly what it was declared to be, and nothing that reaches
outside of itself.

    inspect(path, "qcow2", max_virtual_bytes, run) -> virtual size in bytes

A qcow2 header can name a backing file or a data file (any file of the host), claim a size or tables
that make QEMU eat the memory, or carry features that an older QEMU reads wrongly: header and tables
are checked (protos/disk_files, as when the controller takes the file in) before any program opens
the file, then qemu-img has its say within limits of memory and time. The format is never probed:
raw is raw, whatever its first bytes say. Called by the cache, once a file.
"""

import json
from pathlib import Path

from hostagent.kernel.errors import DriverError
from hostagent.kernel.shell import Limits, Run
from protos import disk_files, qcow2

QEMU_IMG_LIMITS = Limits(memory_mib=1024, cpu_s=60)
QEMU_IMG_TIMEOUT_S = 300.0
LEAKS_ONLY = 3  # qemu-img check: space is wasted, nothing is wrong


class Refused(DriverError):
    """The file may not be used, now or ever."""

    def __init__(self, why: str):
        super().__init__(f"the image may not be used: {why}", transient=False)


def inspect(path: Path, disk_format: str, max_virtual_bytes: int, run: Run) -> int:
    """The image's virtual size. Raises Refused, or CommandError where qemu-img cannot be run."""
    with open(path, "rb") as file:
        try:
            size = disk_files.declared(file, disk_format).virtual_size_bytes
        except qcow2.Refused as why:
            raise Refused(str(why)) from why
    if not 0 < size <= max_virtual_bytes:
        raise Refused(f"its disk of {size} bytes is not between 1 and {max_virtual_bytes}")
    if disk_format == "qcow2":
        check_with_qemu(path, size, run)
    return size


def check_with_qemu(path: Path, size: int, run: Run) -> None:
    """qemu-img's opinion of the tables, and that it reads the header as we do."""
    told = run(
        ["qemu-img", "info", "-f", "qcow2", "--output=json", path],
        limits=QEMU_IMG_LIMITS,
        timeout_s=QEMU_IMG_TIMEOUT_S,
        accept=range(256),
    )
    if told.returncode:
        raise Refused(f"qemu-img cannot read it: {told.stderr.strip()[-500:]}")
    info = json.loads(told.stdout)
    data_file = info.get("format-specific", {}).get("data", {}).get("data-file")
    if "backing-filename" in info or data_file or info.get("encrypted"):
        raise Refused("qemu-img finds a backing file, a data file or encryption in it")
    if info.get("virtual-size") != size:
        raise Refused("qemu-img reads another size from it")
    checked = run(
        ["qemu-img", "check", "-f", "qcow2", path],
        limits=QEMU_IMG_LIMITS,
        timeout_s=QEMU_IMG_TIMEOUT_S,
        accept=range(256),
    )
    if checked.returncode not in (0, LEAKS_ONLY):
        said = (checked.stderr.strip() or checked.stdout.strip())[-500:]
        raise Refused(f"qemu-img finds it broken: {said}")
