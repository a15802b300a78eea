"""Network, images and volumes that make nothing but keep count: the other half of the fake
hypervisor.

Shipped for ``--hypervisor fake`` and used by tests and simulations. They check what real ones would
trip over (a port plugged into a VPC that is not there, a disk on an image that is not cached), so
that a wrong order of steps fails here too. What they hold stands for the host's disk and kernel: it
outlives the agent as long as the object does, ``lose_power`` takes what a reboot would.
"""

import json
import os
import random
import threading
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from hostagent.drivers import Disk, DriverError, NotYet, Port
from protos.cloud.v1 import fleet_pb2


class FakeNetwork:
    """VPCs and ports. ``failures`` is the probability that a call fails this time; with ``path``
    they outlive the process, as the kernel's would.
    """

    def __init__(
        self, rng: random.Random | None = None, failures: float = 0.0, path: Path | None = None
    ):
        self._rng, self.failures, self._path = rng or random.Random(0), failures, path
        self._lock = threading.RLock()
        self.made: dict[str, fleet_pb2.VpcSpec] = {}
        self.tenants: dict[str, list[str]] = {}  # vpc -> instances that it was made for
        self.ports: dict[str, bool] = {}  # network interface -> plugged?
        if path is not None and path.exists():
            kept = json.loads(path.read_text())
            self.ports = kept["ports"]
            self.made = {name: fleet_pb2.VpcSpec(vpc_id=name) for name in kept["vpcs"]}

    def ensure_vpc(
        self, vpc: fleet_pb2.VpcSpec, instances: Sequence[fleet_pb2.InstanceSpec]
    ) -> None:
        with self._lock:
            self._maybe_fail()
            self.made[vpc.vpc_id] = vpc
            self.tenants[vpc.vpc_id] = [spec.instance_id for spec in instances]
            self._keep()

    def ensure_port(self, nic: fleet_pb2.NicSpec) -> Port:
        with self._lock:
            self._maybe_fail()
            self._vpc_of(nic)
            self.ports[nic.network_interface_id] = False
            self._keep()
            return Port(
                nic.network_interface_id,
                "tap" + nic.network_interface_id.removeprefix("eni-")[:11],
                nic.mac_address,
                1500,
            )

    def plug(self, nic: fleet_pb2.NicSpec) -> None:
        with self._lock:
            self._maybe_fail()
            self._vpc_of(nic)
            if nic.network_interface_id not in self.ports:
                raise DriverError(f"{nic.network_interface_id} has no tap")
            self.ports[nic.network_interface_id] = True
            self._keep()

    def is_plugged(self, nic: fleet_pb2.NicSpec) -> bool:
        return self.ports.get(nic.network_interface_id, False)

    def remove_port(self, nic: fleet_pb2.NicSpec) -> None:
        with self._lock:
            self._maybe_fail()
            self.ports.pop(nic.network_interface_id, None)
            self._keep()

    def remove_vpc(self, vpc_id: str) -> None:
        with self._lock:
            self._maybe_fail()
            self.made.pop(vpc_id, None)
            self.tenants.pop(vpc_id, None)
            self._keep()

    def vpcs(self) -> Collection[str]:
        with self._lock:
            return sorted(self.made)

    def lose_power(self) -> None:
        """All of it lives in the kernel."""
        self.made, self.tenants, self.ports = {}, {}, {}

    def _vpc_of(self, nic: fleet_pb2.NicSpec) -> None:
        if nic.vpc_id not in self.made:
            raise DriverError(f"{nic.vpc_id} is not made here", transient=False)

    def _keep(self) -> None:
        if self._path is not None:
            written = self._path.with_suffix(".new")
            written.write_text(json.dumps({"ports": self.ports, "vpcs": sorted(self.made)}))
            os.replace(written, self._path)

    def _maybe_fail(self) -> None:
        if self.failures and self._rng.random() < self.failures:
            raise DriverError("the network did not do as it was told")


class FakeImages:
    """Every image comes after ``fetch_ms``; those in ``broken`` never do."""

    def __init__(self, clock: Callable[[], int], fetch_ms: int = 0):
        self._clock, self.fetch_ms = clock, fetch_ms
        self._lock = threading.RLock()
        self._arrives: dict[str, int] = {}
        self.fetches = 0
        self.broken: set[str] = set()

    def ensure(self, source: fleet_pb2.ImageSource) -> Path:
        with self._lock:
            if source.digest in self.broken:
                raise DriverError(f"{source.image_id} does not match its digest", transient=False)
            if source.digest not in self._arrives:
                self.fetches += 1
                self._arrives[source.digest] = self._clock() + self.fetch_ms
            left = self._arrives[source.digest] - self._clock()
            if left > 0:
                raise NotYet(f"fetching {source.image_id}", retry_ms=left)
            return Path("/fake/images") / source.digest.removeprefix("sha256:")

    def cached(self) -> Collection[str]:
        with self._lock:
            now = self._clock()
            return sorted(digest for digest, at in self._arrives.items() if at <= now)

    def watch(self, on_change: Callable[[str], None]) -> None:
        """They come by the clock: ``NotYet.retry_ms`` is exact."""


class FakeVolumes:
    """Volumes in memory. They outlive a power failure."""

    def __init__(self, rng: random.Random | None = None, failures: float = 0.0):
        self._rng, self.failures = rng or random.Random(0), failures
        self._lock = threading.RLock()
        self.made: dict[str, int] = {}  # volume -> size in bytes

    def ensure(self, disk: fleet_pb2.DiskSpec, base: Path | None) -> Disk:
        with self._lock:
            self._maybe_fail()
            if disk.image.digest and base is None:
                raise DriverError(f"{disk.volume_id}: its image is not here", transient=False)
            size = max(disk.size_bytes, self.made.get(disk.volume_id, 0))
            self.made[disk.volume_id] = size
        path = Path("/fake/volumes") / f"{disk.volume_id}.qcow2"
        return Disk(disk.volume_id, disk.device_name, path, "qcow2", base, disk.image.disk_format)

    def remove(self, volume_id: str) -> None:
        with self._lock:
            self._maybe_fail()
            self.made.pop(volume_id, None)

    def volumes(self) -> Collection[str]:
        with self._lock:
            return sorted(self.made)

    def _maybe_fail(self) -> None:
        if self.failures and self._rng.random() < self.failures:
            raise DriverError("the disk did not do as it was told")
