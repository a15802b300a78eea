"""VPCs, as the kernel knows them: here for as long as an instance needs them, whatever is told."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hostagent.kernel.kinds import AnyRecord, Change, Key, Kind, Ledger, Progress, Record
from protos.cloud.v1 import fleet_pb2
from protos.cloud.v1.fleet_pb2 import InstanceSpec, VpcSpec


@dataclass(frozen=True)
class VpcProgress(Progress):
    """What was seen of one VPC. Kept as JSON: a later field needs a default."""

    observed: fleet_pb2.ObservedVpc = fleet_pb2.VPC_UNSEEN
    message: str = ""


Vpc = Record[VpcSpec, VpcProgress]


def vpc_kind(instance: Kind[InstanceSpec, Any]) -> Kind[VpcSpec, VpcProgress]:
    """``instance``: the kind of what lives in VPCs. It comes before this one in the ledger."""
    tenancy = _Tenancy(instance)
    return Kind(
        "vpc",
        "network",
        spec_type=VpcSpec,
        progress_type=VpcProgress,
        observed=("observed", "message", "revision"),
        observe=_observe,
        is_settled=lambda record: False,  # said with the next report: nobody waits for it
        is_over=lambda record, ledger: False,  # goes with its last instance
        returns=lambda spec: True,  # it is only kept where it is needed
        merge=tenancy.merge,
        forgotten=tenancy.forgotten,
        lacks=tenancy.lacks,
    )


def _observe(record: Vpc, observation: fleet_pb2.Observation) -> None:
    observation.vpc.observed = record.progress.observed
    if record.progress.message:
        observation.reason.message = record.progress.message


class _Tenancy:
    """Which VPCs are kept, by the instances that are in them."""

    def __init__(self, instance: Kind[InstanceSpec, Any]):
        self._instance = instance

    def merge(
        self, kind: Kind[VpcSpec, VpcProgress], change: Change, told: Mapping[str, Vpc]
    ) -> None:
        """A VPC that no instance here needs is not kept. Those of instances that changed are looked
        at: their guests are part of what they are."""
        instances = change.after(self._instance)
        needed = _needed(instances.values())
        change.keep(kind, {name: record for name, record in told.items() if name in needed})
        changed = [instances[key.id] for key in change.put if self._instance.owns(key)]
        change.due |= {kind.key(name) for name in _needed(changed)}
        for name in change.before(kind).keys() - needed:
            _drop(kind, change, name)

    def forgotten(
        self, kind: Kind[VpcSpec, VpcProgress], change: Change, key: Key, record: AnyRecord
    ) -> None:
        """The last instance takes its VPC with it."""
        if self._instance.owns(key):
            needed = _needed(change.after(self._instance).values())
            for name in _needed([record]) - needed:
                _drop(kind, change, name)

    def lacks(self, kind: Kind[VpcSpec, VpcProgress], ledger: Ledger) -> bool:
        """An instance that should run needs a VPC that nobody has described."""
        instances, here = ledger.of(self._instance).all().values(), ledger.of(kind).all()
        runs = (one for one in instances if one.spec.desired == fleet_pb2.RUNNING)
        return bool(_needed(runs) - here.keys())


def _drop(kind: Kind[VpcSpec, VpcProgress], change: Change, name: str) -> None:
    if name in change.before(kind):
        change.drop(kind, name)
        change.buried.append(name)


def _needed(instances: Iterable[Record[InstanceSpec, Any]]) -> set[str]:
    return {nic.vpc_id for one in instances for nic in one.spec.nics}
