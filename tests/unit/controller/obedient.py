"""Hosts whose guests do what they are told, for the tests of the controller."""

from typing import TYPE_CHECKING

from protos.cloud.v1 import common_pb2, fleet_pb2
from protos.errors import CloudError, Kind
from protos.manifest import Manifest, digest_of

if TYPE_CHECKING:
    from tests.unit.controller.cloud import Cloud

GIB = 1024**3


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
        self.acknowledged = (0, 0)
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
        if spec.acknowledged_epoch == self.epoch:
            self.acknowledged = max(self.acknowledged, acknowledged)
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
            acknowledged_epoch=self.acknowledged[0],
            acknowledged_sequence=self.acknowledged[1],
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
