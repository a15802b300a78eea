"""RunInstances: everything is decided in one transaction, nothing is in flight when it answers.

    check    the request by itself                              request
    find     its type, image and key; whether its token is new  request
    plan     disks, interfaces, what each asks of a host        plan, disks, interfaces
    place    a zone and hosts; quotas charged, hosts claimed    plan
    write    instances, placements, volumes, interfaces, tags   here, disks, interfaces
    tell     assignments; hosts are sent them after the commit  here
    answer   from what was written                              here

Raising is the undo, so fewer than min_count leave nothing. Hosts are read inside the transaction
(docs/decisions/0403).
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from controller.compute.instances import view
from controller.compute.instances.describe import Describer
from controller.compute.launch.disks import MadeDisks, make_disks
from controller.compute.launch.interfaces import MadeInterfaces, make_interfaces, show_interfaces
from controller.compute.launch.plan import Placer, Places, Plan, make_plan
from controller.compute.launch.request import Earlier, check_request, find_named
from controller.compute.scheduling.place import Scheduler
from controller.config import InstancesConfig, Zone
from controller.hosts.feed import Feed
from controller.identity.quotas.rules import Quotas
from controller.identity.tags import rules as tags
from controller.kernel.call import Call
from controller.kernel.client_tokens import check_same
from controller.kernel.database import Database, Transaction
from controller.network.names import DnsNames
from controller.tables.compute import Attachment, Instance, Placement
from controller.tables.network import Vpc
from controller.tables.nouns import INSTANCE, VPC
from controller.tables.storage import Volume
from protos.cloud.v1 import common_pb2, instances_pb2
from protos.errors import CloudError, Kind
from protos.ids import new_id

# What an instance's row has beside what a launch writes: the table's defaults, and a guest that
# nobody has seen yet.
_UNSEEN: dict[str, Any] = {
    field.column_name: field.default
    for field in Instance._meta.sorted_fields
    if field.default is not None
} | {
    "observed": "unseen",
    "observed_revision": 0,
    "ran_start": 0,
    "devices_revision": 0,
    "network_revision": 0,
    "placement_id": None,
    "claimed_vcpus": None,
}


class Revised(NamedTuple):
    revision: int


class Launcher:
    def __init__(
        self,
        db: Database,
        rng: random.Random,
        config: InstancesConfig,
        scheduler: Scheduler,
        quotas: Quotas,
        feed: Feed,
        describer: Describer,
        names: DnsNames,
        zones: Sequence[Zone],
    ):
        self._db, self._rng, self._config = db, rng, config
        self._feed, self._describer, self._names = feed, describer, names
        self._placer = Placer(scheduler, quotas, zones)

    def run(
        self, call: Call, request: instances_pb2.RunInstancesRequest
    ) -> instances_pb2.Reservation:
        """The reservation. Raises every refusal that EC2 has for RunInstances."""
        checked = check_request(request, self._config)
        with self._db.write(call) as tx:
            named = find_named(tx, checked)
            if isinstance(named, Earlier):
                check_same(named.digest, checked.digest)
                return self._again(tx, named)
            plan = make_plan(tx, checked, named)
            places = self._placer.place(tx, plan)
            return self._write(tx, plan, places)

    def _again(self, tx: Transaction, earlier: Earlier) -> instances_pb2.Reservation:
        """The token was used before: the first answer, as its instances are now."""
        reservation = self._describer.reservation(tx, tx.call, earlier.reservation_id)
        if all(instance.state == "terminated" for instance in reservation.instances):
            raise CloudError(
                Kind.WRONG_STATE,
                "The client token belongs to instances that have been terminated. "
                "Use another token.",
                noun="instance",
                id=reservation.instances[0].instance_id,
                reason="terminated-client-token",
            )
        return reservation

    def _write(self, tx: Transaction, plan: Plan, places: Places) -> instances_pb2.Reservation:
        """One statement for each kind of rows, however many instances."""
        instances = self._instances(tx, plan, places)
        instance_ids = [row["instance_id"] for row in instances]
        hosts = dict(zip(instance_ids, places.host_ids, strict=True))
        tx.insert(Instance, instances)
        tx.insert(Placement, self._placements(tx, plan, hosts))
        disks = make_disks(tx, self._rng, plan.disks, plan.image, places.zone, hosts)
        tx.insert(Volume, disks.volumes)
        nics = make_interfaces(tx, self._rng, plan.interfaces, places.zone, instance_ids)
        tx.insert(Attachment, [*disks.attachments, *nics.attachments])
        self._tell_hosts(tx, plan, places, hosts)
        chosen = plan.checked.tags
        tagged = [
            ("instance", instance_ids, chosen["instance"]),
            ("volume", [row["volume_id"] for row in disks.volumes], chosen["volume"]),
            ("network-interface", nics.new_ids, chosen["network-interface"]),
        ]
        tags.add(tx, tx.call.account_id, tagged)
        return self._answer(tx, plan, places, instances, disks, nics)

    def _instances(self, tx: Transaction, plan: Plan, places: Places) -> list[dict[str, Any]]:
        alike = _columns_alike(tx, plan) | {
            "reservation_id": new_id("reservation", self._rng),
            "availability_zone": places.zone,
        }
        return [
            alike | {"instance_id": new_id("instance", self._rng), "ami_launch_index": index}
            for index in range(len(places.host_ids))
        ]

    def _placements(
        self, tx: Transaction, plan: Plan, hosts: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        return [
            {
                "placement_id": new_id("placement", self._rng),
                "instance_id": instance_id,
                "host_id": host_id,
                "vcpus": plan.ask.vcpus,
                "memory_mib": plan.ask.memory_mib,
                "created_ms": tx.call.now_ms,
            }
            for instance_id, host_id in hosts.items()
        ]

    def _tell_hosts(
        self, tx: Transaction, plan: Plan, places: Places, hosts: Mapping[str, str]
    ) -> None:
        """The instances are assigned to their hosts, and the VPC to these; its other hosts learn of
        its new members by their next reports."""
        vpc_id = plan.network.vpc_id
        (revised,) = tx.advance_returning(
            Vpc,
            {"revision": Vpc.revision + 1},
            Vpc.vpc_id == vpc_id,
            returning=Revised,
        )
        assignments = [(INSTANCE, name, host_id, 1) for name, host_id in hosts.items()]
        assignments += [(VPC, vpc_id, host_id, revised.revision) for host_id in places.positions]
        self._feed.assign(tx, assignments, places.positions, observed={"instance": "unseen"})
        self._feed.send(tx, sorted(set(places.host_ids)))

    def _answer(
        self,
        tx: Transaction,
        plan: Plan,
        places: Places,
        instances: Sequence[dict[str, Any]],
        disks: MadeDisks,
        nics: MadeInterfaces,
    ) -> instances_pb2.Reservation:
        """The reservation, from what was written."""
        tagged = {
            noun: [common_pb2.Tag(key=key, value=value) for key, value in sorted(chosen.items())]
            for noun, chosen in plan.checked.tags.items()
        }
        shown_nics = show_interfaces(
            tx, self._names, plan.interfaces, nics, places.zone, tagged["network-interface"]
        )
        each = zip(instances, places.host_ids, shown_nics, disks.shown, strict=True)
        return instances_pb2.Reservation(
            reservation_id=instances[0]["reservation_id"],
            owner_id=tx.call.account_id,
            instances=[
                view.instance_message(
                    _new_row(row, host_id),
                    own_nics,
                    own_disks,
                    tagged["instance"],
                    self._names,
                    operator=tx.call.operator,
                )
                for row, host_id, own_nics, own_disks in each
            ],
        )


def _new_row(row: Mapping[str, Any], host_id: str) -> view.InstanceRow:
    known = {**_UNSEEN, **row, "host_id": host_id}
    return view.InstanceRow(**{name: known[name] for name in view.InstanceRow._fields})


def _columns_alike(tx: Transaction, plan: Plan) -> dict[str, Any]:
    """What all instances of the launch have."""
    request, image = plan.request, plan.image
    metadata = dict(plan.checked.metadata)
    if image.imds_support == "v2.0":
        metadata.setdefault("metadata_http_tokens", "required")
    return {
        "account_id": tx.call.account_id,
        "client_token": request.client_token,
        "request_digest": plan.checked.digest,
        "image_id": image.image_id,
        "instance_type": plan.instance_type.name,
        "vcpus": plan.instance_type.vcpus,
        "memory_mib": plan.instance_type.memory_mib,
        "architecture": image.architecture,
        "key_name": request.key_name,
        "public_key": plan.named.public_key,
        "user_data": request.user_data,
        "root_device_name": image.root_device_name,
        "desired": "running",
        "launched_ms": tx.call.now_ms,
        "created_ms": tx.call.now_ms,
        "disable_api_termination": request.disable_api_termination,
        "disable_api_stop": request.disable_api_stop,
        "shutdown_behavior": request.instance_initiated_shutdown_behavior or "stop",
        "monitoring": request.monitoring,
        "ebs_optimized": request.ebs_optimized,
        "cpu_credits": plan.cpu_credits,
        **metadata,
    }
