"""A controller in one process with hosts that obey: for the tests of instances, fleet, identity and
reconcile.

    cloud = Cloud(tmp_path)                 one host, a public image, two accounts
    reservation = cloud.run(max_count=3)    as account cloud.alice
    cloud.converge()                        hosts are told, obey and report, until all is quiet

Hosts are ``ObedientHost``s: they do at once what a spec says and report it. ``now_ms`` is moved by
hand; what ``set_back_ms`` has of that moves the wall's clock alone.
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
from protos.cloud.v1 import common_pb2, fleet_pb2, instances_pb2
from protos.errors import CloudError, Kind
from protos.manifest import Manifest, digest_of
from protos.rpc import Caller, LocalClient

DIGEST = "sha256:" + "ab" * 32
GIB = 1024**3
IMAGE_ID = "ami-0123456789abcdef0"


class ObedientHost:
    """A host whose guests do what they are told: the agent's contract, in memory and at once."""

    def __init__(self, host_id: str, cloud: "Cloud", *, vcpus=8, memory_mib=16384, disk_gib=500):
        self.host_id, self.cloud = host_id, cloud
        self.facts = fleet_pb2.HostFacts(
            name=host_id,
            endpoint="192.0.2.1:7711",
            hypervisor="fake",
            vcpus=vcpus,
            memory_mib=memory_mib,
            disk_gib=disk_gib,
            architecture="x86_64",
        )
        self.epoch, self.sequence, self.position = 1, 0, 0
        self.specs: dict[str, fleet_pb2.InstanceSpec] = {}
        self.vpcs: dict[str, fleet_pb2.VpcSpec] = {}
        self.volumes: dict[str, fleet_pb2.VolumeSpec] = {}
        self.snapshots: dict[str, fleet_pb2.SnapshotSpec] = {}  # that wait to be ended
        self.revisions: dict[str, int] = {}  # of all of these, by id
        self.ran_starts: dict[str, int] = {}
        self.observed: dict[str, fleet_pb2.Observation] = {}  # not acknowledged yet, by id
        self.applied: list[fleet_pb2.HostSpec] = []
        self.reachable = self.obeys = True
        self.fails: set[str] = set()  # ids, or "*"
        self.why = ""  # they fail
        self.device_failures: dict[str, list[fleet_pb2.DeviceFailure]] = {}  # by instance

    def Apply(self, spec, *, timeout_s: float = 0.0):
        if not self.reachable:
            raise CloudError(Kind.UNAVAILABLE, "The host does not answer.", reason="unreachable")
        self.applied.append(spec)
        self.take_in(spec)
        return fleet_pb2.HostReport(
            host_id=self.host_id,
            epoch=self.epoch,
            sequence=self.next(),
            position=self.position,
        )

    def ReadConsole(self, request, *, timeout_s: float = 0.0):
        if not self.reachable:
            raise CloudError(Kind.UNAVAILABLE, "The host does not answer.", reason="unreachable")
        return fleet_pb2.ReadConsoleResponse(output=b"login: ", timestamp_ms=self.cloud.now_ms)

    def next(self) -> int:
        self.sequence += 1
        return self.sequence

    def take_in(self, spec) -> None:
        assert spec.host_id == self.host_id
        if spec.base > self.position:
            return
        self.position = max(self.position, spec.position)
        kinds = {
            "instance": self.specs,
            "vpc": self.vpcs,
            "volume": self.volumes,
            "snapshot": self.snapshots,
        }
        for one in spec.assignments:
            if self.revisions.get(one.id, 0) < one.revision:
                self.revisions[one.id] = one.revision
                kinds[one.kind][one.id] = getattr(one, one.WhichOneof("spec"))
        acknowledged = (spec.acknowledged_epoch, spec.acknowledged_sequence)
        for name, seen in list(self.observed.items()):
            if (self.epoch, seen.sequence) <= acknowledged:
                del self.observed[name]
                if seen.instance.observed == fleet_pb2.ABSENT:
                    self.specs.pop(name, None)

    def work(self) -> bool:
        """Makes every spec true; answers whether there was something new to see."""
        news = False
        for instance_id, spec in self.specs.items():
            seen = fleet_pb2.OBSERVED_RUNNING
            if spec.desired == fleet_pb2.STOPPED:
                seen = fleet_pb2.OBSERVED_STOPPED
            elif spec.desired == fleet_pb2.TERMINATED:
                seen = fleet_pb2.ABSENT
            elif {"*", instance_id} & self.fails:
                seen = fleet_pb2.FAILED
            if self.cloud.last_seen.get(instance_id) != (seen, self.revisions[instance_id]):
                why = self.why if seen == fleet_pb2.FAILED else ""
                self.see(instance_id, seen, "Server.InternalError" if why else "", why)
                news = True
        for volume_id, volume in list(self.volumes.items()):
            seen = fleet_pb2.VOLUME_HERE
            if volume.desired == fleet_pb2.VOLUME_DELETED:
                seen = fleet_pb2.VOLUME_GONE
            elif volume_id in self.fails:
                seen = fleet_pb2.VOLUME_FAILED
            if self.cloud.last_seen.get(volume_id) != (seen, self.revisions[volume_id]):
                self.see_volume(volume_id, seen)
                news = True
        return news

    def end_snapshot(self, snapshot_id: str, size_gib: int = 1, fails: str = "") -> None:
        """Its copy, of a blank volume, is in the store; or why it failed."""
        spec = self.snapshots.pop(snapshot_id)
        observation = fleet_pb2.Observation(
            kind="snapshot",
            id=snapshot_id,
            role="home",
            revision=self.revisions[snapshot_id],
            sequence=self.next(),
        )
        seen = observation.snapshot
        if spec.cancelled:
            seen.observed = fleet_pb2.SNAPSHOT_GONE
        elif fails:
            seen.observed, observation.reason.message = fleet_pb2.SNAPSHOT_FAILED, fails
        else:
            data = Manifest(size_gib * GIB).encode()
            chunk = fleet_pb2.ManifestChunk(
                snapshot_id=snapshot_id, digest=digest_of(data), data=data
            )
            self.cloud.fleet(self.host_id).StoreManifest(iter([chunk]))
            seen.observed, seen.digest = fleet_pb2.SNAPSHOT_DONE, chunk.digest
        self.observed[snapshot_id] = observation
        self.heartbeat()

    def see_volume(self, volume_id: str, observed: int, message: str = "") -> None:
        revision = self.revisions[volume_id]
        self.cloud.last_seen[volume_id] = (observed, revision)
        self.observed[volume_id] = fleet_pb2.Observation(
            kind="volume",
            id=volume_id,
            role="home",
            revision=revision,
            sequence=self.next(),
            reason=common_pb2.StateReason(message=message),
            volume=fleet_pb2.VolumeSeen(
                observed=observed, size_bytes=self.volumes[volume_id].size_bytes
            ),
        )

    def see(
        self,
        instance_id: str,
        observed: int,
        code: str = "",
        message: str = "",
        status_check: int | None = None,
    ) -> None:
        """A guest that runs answers, unless ``status_check`` says otherwise."""
        running = observed == fleet_pb2.OBSERVED_RUNNING
        if running:
            self.ran_starts[instance_id] = self.specs[instance_id].starts
        if status_check is None:
            status_check = fleet_pb2.CHECK_PASSED if running else fleet_pb2.NOT_CHECKED
        revision, failures = self.revisions[instance_id], self.device_failures.get(instance_id, ())
        self.cloud.last_seen[instance_id] = (observed, revision)
        self.observed[instance_id] = fleet_pb2.Observation(
            kind="instance",
            id=instance_id,
            role="guest",
            revision=revision,
            sequence=self.next(),
            reason=common_pb2.StateReason(code=code, message=message),
            since_ms=self.cloud.now_ms,
            instance=fleet_pb2.InstanceSeen(
                observed=observed,
                status_check=status_check,
                status_check_since_ms=self.cloud.now_ms,
                devices_revision=0 if failures else revision,
                device_failures=failures,
                network_revision=revision,
                starts=self.specs[instance_id].starts,
                ran_start=self.ran_starts.get(instance_id, 0),
            ),
        )

    def report(self, **more) -> fleet_pb2.HostReport:
        return fleet_pb2.HostReport(
            host_id=self.host_id,
            epoch=self.epoch,
            sequence=self.next(),
            position=self.position,
            observations=self.observed.values(),
            **more,
        )

    def heartbeat(self, **more) -> None:
        if self.reachable:
            answer = self.cloud.fleet(self.host_id).Report(self.report(**more))
            self.take_in(answer)


def told(spec: fleet_pb2.HostSpec, kind: str) -> dict:
    """What a message says of one kind of resources: id -> its spec."""
    return {one.id: getattr(one, kind) for one in spec.assignments if one.kind == kind}


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

    def discrepancies(self) -> list[str]:
        with self.db.read() as session:
            return discrepancies(session, controller_app.OWNED)
