"""The resources that hosts are told of, each declared once.

Imported by the rules of every noun, so that what changes a resource on the way (an interface's
groups, an address) can say so. How a kind is rendered and observed is registered in app
(hosts/kinds).
"""

from dataclasses import dataclass

from controller.kernel.table import Column, Table
from controller.tables.compute import Instance
from controller.tables.network import Vpc
from controller.tables.storage import Snapshot, Volume


@dataclass(frozen=True)
class Hosted:
    """A resource with a ``revision``. ``role``: what a host is to it."""

    kind: str
    role: str
    table: type[Table]
    key: Column

    @property
    def revision(self) -> Column:
        column: Column = self.table._meta.fields["revision"]
        return column


INSTANCE = Hosted("instance", "guest", Instance, Instance.instance_id)
VPC = Hosted("vpc", "network", Vpc, Vpc.vpc_id)
VOLUME = Hosted("volume", "home", Volume, Volume.volume_id)
SNAPSHOT = Hosted("snapshot", "home", Snapshot, Snapshot.snapshot_id)
