"""A controller in one process with hosts that obey: for the tests of instances, fleet, identity and
reconcile.

    cloud = Cloud(tmp_path)                 one host, a public image, two accounts
    reservation = cloud.run(max_count=3)    as account cloud.alice
    cloud.converge()                        hosts are told, obey and report, until all is quiet

Hosts are ``ObedientHost``s (obedient.py): they do at once what a spec says and report it.
``now_ms`` is moved by hand; what ``set_back_ms`` has of that moves the wall's clock alone.
"""

import copy
import random
from dataclasses import dataclass
from pathlib import Path

from controller import app as controller_app
from controller.audit import discrepancies
from controller.config import Config
from controller.identity.authorize import authorize
from controller.identity.sealing import MasterKey
from controller.kernel.call import system_call
from controller.kernel.sqlite import open_sqlite
from controller.storage.blocks.store import FolderBlocks
from controller.storage.images.store import FileStore
from controller.tables.hosts import Host
from controller.tables.identity import Account as AccountRow
from controller.tables.migrations import migrate
from controller.tables.storage import Image, ImageBlob
from protos.cloud.v1 import instances_pb2
from protos.rpc import Caller, LocalClient
from tests.unit.controller.obedient import ObedientHost

DIGEST = "sha256:" + "ab" * 32
GIB = 1024**3
IMAGE_ID = "ami-0123456789abcdef0"


@dataclass
class Account:
    account_id: str
    operator: bool = False

    def caller(self, **more) -> Caller:
        return Caller(account_id=self.account_id, operator=self.operator, **more)


class Cloud:
    def __init__(
        self,
        folder: Path,
        hosts: int = 1,
        config: Config | None = None,
        on_statement=None,
        authorize=authorize,
        **facts,
    ):
        self.now_ms, self.set_back_ms = 1_800_000_000_000, 0
        self.config = config or Config(state_dir=folder, quotas={"public_images_per_account": 5})
        self.rng = random.Random(7)
        self.authority, self.authorize = None, authorize
        self.master_key = MasterKey({1: bytes(32)}, self.rng)
        self.db = open_sqlite(self.config.database, synchronous="off")
        self.last_seen: dict[str, tuple[int, int]] = {}
        self.hosts: dict[str, ObedientHost] = {}
        migrate(self.db, self.now_ms)
        self.store = FileStore(self.config.image_dir)
        self.blocks = FolderBlocks(self.config.snapshot_dir, lambda: self.now_ms / 1000)
        self.rebuild()
        call = system_call(self.now_ms)
        self.app.prepare(call)
        with self.db.read() as session:
            found = dict(session.tuples(AccountRow.select(AccountRow.name, AccountRow.account_id)))
        self.alice, self.bob = (
            Account(found.get(name) or self.app.identity.create_account(call, name)[0])
            for name in ("alice", "bob")
        )
        if not found:
            self._add_image()
        for number in range(hosts):
            self.add_host(number, **facts)
        self.db.on_statement = on_statement

    def rebuild(self) -> "Cloud":
        """The controller's process anew, on the same database."""
        self.app = controller_app.build(
            self.config,
            self.db,
            clock=lambda: self.now_ms,
            monotonic=lambda: self.now_ms + self.set_back_ms,
            rng=self.rng,
            agents=lambda host_id, endpoint: self.hosts[host_id],
            master_key=self.master_key,
            store=self.store,
            blocks=self.blocks,
            authority=self.authority,
            authorize=self.authorize,
        )
        return self

    def second_process(self) -> "Cloud":
        """Another controller on the same database file."""
        other = copy.copy(self)
        other.db = open_sqlite(self.config.database, synchronous="off")
        other.rng = random.Random(8)
        return other.rebuild()

    def add_host(self, number: int, zone: str = "us-east-1a", **facts) -> ObedientHost:
        host_id = f"h-{number:017x}"
        with self.db.write(system_call(self.now_ms)) as tx:
            row = {"host_id": host_id, "name": f"host-{number}", "availability_zone": zone}
            tx.insert(Host, [row])
        host = self.hosts[host_id] = ObedientHost(host_id, self, **facts)
        host.heartbeat(facts=host.facts)
        return host

    def _add_image(self) -> None:
        blob = {"digest": DIGEST, "disk_format": "qcow2", "size_bytes": 1, "created_ms": 1}
        image = {
            "image_id": IMAGE_ID,
            "account_id": self.alice.account_id,
            "name": "demo",
            "status": "active",
            "public": True,
            "root_device_name": "/dev/xvda",
            "disk_format": "qcow2",
            "digest": DIGEST,
            "size_bytes": 30 * 1024**2,
            "virtual_size_bytes": GIB,
        }
        with self.db.write(system_call(self.now_ms)) as tx:
            tx.insert(ImageBlob, [blob])
            tx.insert(Image, [image])

    def client(self, service: str, peer: str = "gateway") -> LocalClient:
        return LocalClient(
            self.app.servicers[service], peer, self.app.guard, f"pileus.cloud.v1.{service}"
        )

    def fleet(self, host_id: str) -> LocalClient:
        return self.client("Fleet", f"host:{host_id}")

    @property
    def instances(self) -> LocalClient:
        return self.client("Instances")

    @property
    def host(self) -> ObedientHost:
        return next(iter(self.hosts.values()))

    def request(self, **more) -> instances_pb2.RunInstancesRequest:
        fields = {"image_id": IMAGE_ID, "instance_type": "t2.micro", "min_count": 1, "max_count": 1}
        return instances_pb2.RunInstancesRequest(**(fields | more))

    def run(self, account: Account | None = None, **more) -> instances_pb2.Reservation:
        return self.instances.Run(self.request(**more), caller=(account or self.alice).caller())

    def run_ids(self, count: int = 1, **more) -> list[str]:
        """Launches and waits until they run."""
        reservation = self.run(min_count=count, max_count=count, **more)
        self.converge()
        return [instance.instance_id for instance in reservation.instances]

    def on(self, method: str, ids, account: Account | None = None, **more):
        """Start, Stop, Reboot or Terminate."""
        kind = (
            instances_pb2.StopInstancesRequest
            if method == "Stop"
            else instances_pb2.InstancesRequest
        )
        caller = (account or self.alice).caller()
        return getattr(self.instances, method)(kind(instance_ids=ids, **more), caller=caller)

    def describe(self, *ids: str, account: Account | None = None) -> list[instances_pb2.Instance]:
        answer = self.instances.Describe(
            instances_pb2.DescribeInstancesRequest(instance_ids=ids),
            caller=(account or self.alice).caller(),
        )
        found = [one for reservation in answer.reservations for one in reservation.instances]
        return sorted(found, key=lambda one: ids.index(one.instance_id) if ids else 0)

    def states(self, *ids: str) -> list[str]:
        return [instance.state for instance in self.describe(*ids)]

    def converge(self, rounds: int = 20) -> None:
        """Lets hosts work and report until none has news and nothing waits to be sent."""
        for _ in range(rounds):
            known = [host.position for host in self.hosts.values()]
            sent = self.app.dispatch_pending()
            news = [host.work() for host in self.hosts.values() if host.obeys]
            for host in self.hosts.values():
                host.heartbeat()
            learned = known != [host.position for host in self.hosts.values()]
            if not (sent or any(news) or learned):
                return
        raise AssertionError("the cloud does not converge")

    def tasks(self, later_ms: int = 0) -> None:
        """Every reconcile task, at a later time."""
        self.now_ms += later_ms
        self.app.driver.run_all()

    def pass_time(self, span_ms: int, *, heard: bool = True) -> None:
        """In steps, in which a host that is heard reports, and tasks are run."""
        for _ in range(span_ms // 10_000):
            for host in self.hosts.values() if heard else ():
                host.heartbeat()
            self.tasks(later_ms=10_000)
            self.app.dispatch_pending()

    def discrepancies(self) -> list[str]:
        with self.db.read() as session:
            return discrepancies(session, controller_app.OWNED)
