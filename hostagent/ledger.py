"""The ledger of a host agent: the kernel's, with the kinds that this agent knows.

    ledger = HostLedger(open_file(state_dir / "ledger.db"), host_id, now_ms=..., boot_id=...)
    ledger.instances.get("i-1"), ledger.vpcs.all(), ledger.volumes.note("vol-1", ...), ...

What survives what is said in hostagent/kernel/ledger.py.
"""

import sqlite3
from collections.abc import Callable

from hostagent import ledger_v1
from hostagent.compute.instance_kind import INSTANCE
from hostagent.kernel.kinds import Change
from hostagent.kernel.ledger import Ledger
from hostagent.kernel.ledger import open_file as open_file
from hostagent.network.vpc_kind import vpc_kind
from hostagent.storage.snapshots.kind import SNAPSHOT
from hostagent.storage.snapshots.progress import COPIED, CopiedVolumes
from hostagent.storage.volumes.kind import volume_kind
from protos.cloud.v1 import fleet_pb2

VPC, VOLUME = vpc_kind(INSTANCE), volume_kind(INSTANCE)
KINDS = (INSTANCE, VPC, VOLUME, SNAPSHOT)  # who looks at another's change comes after it


class HostLedger(Ledger):
    """See the module's head. boot_id: of the machine's present boot."""

    def __init__(
        self,
        db: sqlite3.Connection,
        host_id: str,
        *,
        now_ms: int,
        boot_id: str,
        checkpoint: Callable[[str], None] = lambda name: None,
        only_look: bool = False,
    ):
        super().__init__(
            db,
            host_id,
            KINDS,
            now_ms=now_ms,
            tables=COPIED,
            migrate=ledger_v1.migrate,
            checkpoint=checkpoint,
            only_look=only_look,
        )
        self.boot_id = boot_id
        self.instances, self.vpcs = self.of(INSTANCE), self.of(VPC)
        self.volumes, self.snapshots = self.of(VOLUME), self.of(SNAPSHOT)
        self.copied = CopiedVolumes(db, self._lock, self._write)

    def commit(
        self,
        what: str,
        change: Change,
        position: int | None = None,
        settings: fleet_pb2.HostSettings | None = None,
    ) -> None:
        """As the kernel's. Of what is gone, nothing is in any manifest."""
        super().commit(what, change, position, settings)
        for name in change.buried:
            self.copied.drop(name)
