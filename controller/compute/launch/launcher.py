"""RunInstances: everything is decided in one transaction, nothing is in flight when it answers.

    read      type, image, key and token; network; hosts        read, plan
    propose   a zone, and a host for each instance              scheduling (pure)
    charge    quotas                                            place
    claim     each host by a guarded update                     place, hosts/capacity
    write     instances, placements, volumes, interfaces, tags  rows
    tell      assignments; the hosts are sent them after the commit

Raising is the undo, so fewer than min_count leave nothing. Hosts are read inside the transaction
(docs/decisions/0403).
"""

import random
from collections.abc import Sequence

from controller.compute.instances.describe import Describer
from controller.compute.launch import checks as launch_checks
from controller.compute.launch import interfaces as launch_interfaces
from controller.compute.launch import read as launch_read
from controller.compute.launch.place import Placer
from controller.compute.launch.plan import make_plan
from controller.compute.launch.rows import LaunchRows
from controller.compute.scheduling.place import Scheduler
from controller.config import InstancesConfig, Zone
from controller.hosts.feed import Feed
from controller.identity.quotas.rules import Quotas
from controller.kernel.call import Call
from controller.kernel.client_tokens import check_same, digest_of
from controller.kernel.database import Database, Transaction
from controller.network.names import DnsNames
from protos.cloud.v1 import instances_pb2
from protos.errors import CloudError, Kind


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
        self._db, self._config, self._describer = db, config, describer
        self._placer = Placer(scheduler, quotas, zones)
        self._rows = LaunchRows(rng, names, feed)

    def run(
        self, call: Call, request: instances_pb2.RunInstancesRequest
    ) -> instances_pb2.Reservation:
        """The reservation. Raises every refusal that EC2 has for RunInstances."""
        wanted = launch_checks.check_request(request, self._config.max_per_call)
        launch_interfaces.check_interfaces(request)
        digest = digest_of(request)
        type_name = request.instance_type or self._config.default_type
        with self._db.write(call) as tx:
            known = launch_read.read(tx, call.account_id, request, type_name)
            if known.earlier:
                return self._again(tx, known, digest)
            plan = make_plan(tx, request, digest, wanted, known.row)
            return self._rows.write(tx, plan, self._placer.place(tx, plan))

    def _again(self, tx: Transaction, known: launch_read.Known, digest: str):
        """The token was used before: the first answer, as its instances are now."""
        check_same(known.earlier_digest, digest)
        reservation = self._describer.reservation(tx, tx.call, known.earlier)
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
