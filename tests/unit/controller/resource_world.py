"""A database with two accounts and the servicers of the resource nouns, called as in the process.

Used by the tests of networks, keys, tags, quotas, images and regions. What hosts would be sent is
recorded, not sent.
"""

import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from controller.app import OWNED
from controller.compute.instances.metadata_options import retagged
from controller.compute.key_pairs.rpc import KeyPairsServicer
from controller.config import ImagesConfig, RegionConfig, Zone
from controller.hosts.feed import Feed
from controller.hosts.regions import RegionsServicer
from controller.identity.quotas.rpc import QuotasServicer
from controller.identity.quotas.rules import Quotas
from controller.identity.tags.rpc import TagsServicer
from controller.kernel.call import Call, Principal, system_call
from controller.kernel.sqlite import open_sqlite
from controller.network import address_pool as pool
from controller.network.addresses.rpc import AddressesServicer
from controller.network.default_vpc import make_default_vpc
from controller.network.interfaces.create import (
    NewInterface,
    Wish,
    attachment_row,
    create_interfaces,
)
from controller.network.interfaces.launch import GROUPS_PER_INTERFACE_MAX, find_launch_network
from controller.network.names import DnsNames
from controller.network.rpc import NetworksServicer
from controller.network.security_groups.rpc import SecurityGroupsServicer
from controller.storage.images.rpc import ImagesServicer
from controller.storage.images.store import ImageStore
from controller.storage.snapshots.rules import SnapshotRules
from controller.tables.compute import Attachment, Instance, Placement
from controller.tables.hosts import Host
from controller.tables.identity import Account
from controller.tables.migrations import migrate
from controller.tables.network import Vpc
from controller.tables.nouns import INSTANCE, VPC
from protos.cloud.v1 import common_pb2
from protos.ids import new_id

ANN, BOB, OPERATOR = "111111111111", "222222222222", "000000000001"
ZONES = (Zone("us-east-1a", "use1-az1"), Zone("us-east-1b", "use1-az2"))
DEFAULT_LIMITS = {"addresses": 5, "rules_per_group": 6, "key_pairs": 4, "security_groups": 8}


class World:
    """``kicked`` holds the hosts that were to be sent something, in order.

    The database is in memory, which is one thread's, unless ``threads`` asks for a file.
    """

    def __init__(
        self,
        folder: Path,
        *,
        public_pool: str = "100.64.0.0/28",
        limits=DEFAULT_LIMITS,
        seed=1,
        threads=False,
    ):
        self.db = open_sqlite(folder / "pileus.db" if threads else ":memory:")
        self.rng, self.now_ms = random.Random(seed), 1_800_000_000_000
        self.kicked: list[str] = []
        self.statements: list[str] = []
        self.feed, self.quota_rules = Feed(self.kicked.extend), Quotas(limits)
        self.dns = DnsNames()
        migrate(self.db, self.now_ms)
        with self.db.write(system_call(self.now_ms)) as tx:
            pool.ensure_pool(tx, public_pool)
            for account_id in (OPERATOR, ANN, BOB):
                self._open_account(tx, account_id)
        self.db.on_statement = self.statements.append
        region = RegionConfig(zones=ZONES)
        self.networks = NetworksServicer(
            self.db, self.rng, self.quota_rules, self.feed, self.dns, region
        )
        self.groups = SecurityGroupsServicer(self.db, self.rng, self.quota_rules, self.feed)
        self.addresses = AddressesServicer(
            self.db, self.rng, self.quota_rules, self.feed, "us-east-1"
        )
        self.keys = KeyPairsServicer(self.db, self.rng, self.quota_rules)
        self.tags = TagsServicer(self.db, OWNED, partial(retagged, self.feed))
        self.quotas = QuotasServicer(self.db, self.quota_rules)
        self.regions = RegionsServicer(self.db, region, self.quota_rules, GROUPS_PER_INTERFACE_MAX)

    def image_servicer(self, store: ImageStore, config: ImagesConfig) -> ImagesServicer:
        snapshots = SnapshotRules(self.rng, self.quota_rules, self.feed)
        return ImagesServicer(
            self.db, self.rng, store, config, snapshots, self.feed, self.quota_rules
        )

    def call(self, account_id: str = ANN, *, dry_run: bool = False) -> Call:
        self.now_ms += 1
        return Call(
            Principal(account_id, account_id, operator=account_id == OPERATOR),
            now_ms=self.now_ms,
            dry_run=dry_run,
            peer="gateway",
        )

    def default_vpc(self, account_id: str = ANN) -> str:
        with self.db.read() as session:
            return session.value(Vpc.select(Vpc.vpc_id).where(Vpc.account_id == account_id))

    def add_host(self, host_id: str = "h-1", zone: str = "us-east-1a") -> str:
        with self.db.write(self.call()) as tx:
            tx.insert(
                Host,
                [
                    {
                        "host_id": host_id,
                        "name": host_id,
                        "availability_zone": zone,
                        "health": "up",
                        "vcpus": 8,
                        "memory_mib": 8192,
                        "disk_gib": 100,
                    }
                ],
            )
        return host_id

    def launch(
        self,
        count: int = 1,
        account_id: str = ANN,
        *,
        host_id: str = "",
        desired: str = "running",
        group_ids: Sequence[str] = (),
        group_names: Sequence[str] = (),
        subnet_id: str = "",
        zone: str = "",
        **interface,
    ) -> list[NewInterface]:
        """Instances with their interfaces, on a host where one is named."""
        with self.db.write(self.call(account_id)) as tx:
            network = find_launch_network(
                tx,
                account_id,
                subnet_id=subnet_id,
                availability_zone=zone,
                group_ids=group_ids,
                group_names=group_names,
            )
            instance_ids = [new_id("instance", self.rng) for _ in range(count)]
            tx.insert(
                Instance,
                [
                    {
                        "instance_id": instance_id,
                        "account_id": account_id,
                        "reservation_id": "r-1",
                        "image_id": "ami-1",
                        "instance_type": "t2.nano",
                        "availability_zone": network.subnets[0].availability_zone,
                        "desired": desired,
                    }
                    for instance_id in instance_ids
                ],
            )
            if host_id:
                self._place(tx, instance_ids, host_id, network.vpc_id)
            self.quota_rules.charge(tx, account_id, {"network_interfaces": count})
            subnet, wish = network.subnets[0], Wish(**interface)
            made = create_interfaces(tx, self.rng, network, subnet, instance_ids, wish)
            ids = [(one.network_interface_id, one.attachment_id, one.instance_id) for one in made]
            tx.insert(Attachment, [attachment_row(tx, *three, wish) for three in ids])
            return made

    def _place(self, tx, instance_ids: Sequence[str], host_id: str, vpc_id: str) -> None:
        tx.insert(
            Placement,
            [
                {
                    "placement_id": new_id("placement", self.rng),
                    "instance_id": instance_id,
                    "host_id": host_id,
                }
                for instance_id in instance_ids
            ],
        )
        positions = self.feed.move(tx, Host.host_id == host_id)
        assigned = [(INSTANCE, instance_id, host_id, 1) for instance_id in instance_ids]
        self.feed.assign(tx, [*assigned, (VPC, vpc_id, host_id, 1)], positions)

    def _open_account(self, tx, account_id: str) -> None:
        tx.insert(
            Account,
            [{"account_id": account_id, "name": account_id, "operator": account_id == OPERATOR}],
        )
        self.quota_rules.make(tx, account_id)
        make_default_vpc(tx, account_id, ZONES, self.rng, self.quota_rules, "ec2.internal")

    def used(self, name: str, account_id: str = ANN) -> int:
        with self.db.read() as session:
            return {row[0]: row[2] for row in self.quota_rules.list(session, account_id)}[name]


def filters(**wanted) -> list[common_pb2.Filter]:
    """filters(vpc_id="vpc-1", tag__Name=["a", "b"]): _ is a dash, __ a colon, ___ a dot."""
    found = []
    for name, values in wanted.items():
        spelled = name.replace("___", ".").replace("__", ":").replace("_", "-")
        values = [values] if isinstance(values, str) else values
        found.append(common_pb2.Filter(name=spelled, values=values))
    return found


def tags(**wanted) -> list[common_pb2.Tag]:
    return [common_pb2.Tag(key=key, value=value) for key, value in wanted.items()]


def tag_specification(resource_type: str, **wanted) -> list[common_pb2.TagSpecification]:
    return [common_pb2.TagSpecification(resource_type=resource_type, tags=tags(**wanted))]
