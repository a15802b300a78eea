"""Where a new volume is to live: a host that stands for its zone, claimed by a guarded update.

Called by storage/volumes (rules, modify) inside their transactions; hosts/capacity
writes the claim.
"""

from collections.abc import Sequence

from controller.config import Zone
from controller.hosts import capacity as claims
from controller.hosts.capacity import Amount
from controller.hosts.overcommit import Settings
from controller.kernel.database import Transaction
from controller.tables.hosts import Host
from protos.errors import CloudError, Kind


class VolumePlacement:
    def __init__(self, settings: Settings, zones: Sequence[Zone]):
        self._settings, self._zones = settings, {zone.name: zone.homes for zone in zones}

    def check_zone(self, name: str) -> None:
        if name not in self._zones:
            raise CloudError(
                Kind.NOT_FOUND,
                f"The zone '{name}' does not exist.",
                noun="availability-zone",
                id=name,
                reason="zone",
            )

    def claim(self, tx: Transaction, zone: str, size_gib: int) -> str:
        """The host with the most free disk that takes it. One whose hypervisor is away is the last
        choice: the volume waits there. Raises NO_CAPACITY."""
        ratio = round(self._settings.disk_ratio * 1000)
        free = Host.disk_gib * ratio - Host.disk_gib_used * 1000
        there = Host.select(Host.host_id).where(
            Host.availability_zone.in_(sorted(self._zones[zone])),
            Host.health == "up",
            free >= size_gib * 1000,
        )
        away = Host.hypervisor_away != ""
        for host_id in tx.column(there.order_by(away, free.desc(), Host.host_id), str):
            if self._claim(tx, host_id, size_gib):
                return host_id
        raise CloudError(
            Kind.NO_CAPACITY,
            f"There is not enough capacity for a volume of {size_gib} GiB in the Availability "
            f"Zone {zone}.",
            noun="volume",
        )

    def claim_more(self, tx: Transaction, host_id: str, size_gib: int) -> None:
        """Claims more disk for a volume that grows where it is. Raises NO_CAPACITY."""
        if not self._claim(tx, host_id, size_gib):
            raise CloudError(
                Kind.NO_CAPACITY,
                f"The host that holds the volume has no {size_gib} GiB more, or does not answer.",
                noun="volume",
            )

    def _claim(self, tx: Transaction, host_id: str, size_gib: int) -> bool:
        claimed = claims.claim(tx, host_id, Amount(disk_gib=size_gib), self._settings)
        return claimed is not None
