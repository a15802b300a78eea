"""What follows for network interfaces from what hosts saw: each consequence once.

``note_devices`` and ``leap`` are called by fleet/reports inside the report's transaction;
``InterfaceSettle`` is a reconcile task, also run right after a report that brings something.

    detaching   its guest has the newer devices, or runs no more   it is attached to nothing
    failed      it could not be given to its guest                 it is taken back
"""

import logging
from collections.abc import Callable

from peewee import JOIN, Case, ModelSelect

from controller.call import Call
from controller.db.prepared import prepared
from controller.db.schema import Instance, NetworkInterface, Placement
from controller.db.session import Database, Transaction
from controller.fleet.changes import Changes
from controller.instances.rest import AT_REST
from controller.networks.attachments import begin_detach
from controller.networks.interfaces import let_go
from protos.cloud.v1 import fleet_pb2

log = logging.getLogger(__name__)

AT_ONCE = 200  # rows of one transaction; the next run takes the rest
_NIC = NetworkInterface


class InterfaceSettle:
    def __init__(self, db: Database, changes: Changes):
        self._db, self._changes = db, changes

    def run_once(self, call: Call) -> int:
        """Answers how many interfaces that were."""
        with self._db.read() as session:
            found = any(session.one(query()) for query in (_DETACHED, _FAILED))
        if not found:
            return 0
        with self._db.write(call) as tx:
            detached = tx.rows(_DETACHED())
            let_go(tx, detached)
            failed = tx.rows(_FAILED())
            for row in failed:
                log.warning(
                    "%s cannot be given to %s: %s",
                    row.network_interface_id,
                    row.instance_id,
                    row.attach_message,
                )
                begin_detach(tx, self._changes, row)
        return len(detached) + len(failed)


def _attached():
    return (
        _NIC.select(
            _NIC.network_interface_id,
            _NIC.vpc_id,
            _NIC.instance_id,
            _NIC.public_ip,
            _NIC.association_id,
            _NIC.attach_message,
        )
        .join(Instance, on=Instance.instance_id == _NIC.instance_id)
        .join(
            Placement,
            JOIN.LEFT_OUTER,
            on=(Placement.instance_id == Instance.instance_id) & Placement.live,
        )
    )


def _detached():
    """A message says that the guest has not let go."""
    newer = Placement.devices_generation >= _NIC.attach_generation
    return _attached().where(_NIC.detaching, AT_REST | (newer & (_NIC.attach_message == "")))


def _failed():
    return _attached().where(_NIC.failed, ~_NIC.detaching)


def _in_order(build: Callable[[], ModelSelect]) -> prepared:
    return prepared(lambda: build().order_by(_NIC.network_interface_id).limit(AT_ONCE))


_DETACHED, _FAILED = map(_in_order, (_detached, _failed))


def note_devices(
    tx: Transaction, one: fleet_pb2.InstanceObservation, devices_generation: int
) -> None:
    """What went wrong with the interfaces of an instance, under the observation's generation, and
    that nothing does any more with the others. devices_generation: of its guest before this."""
    mine = (_NIC.instance_id == one.instance_id) & (_NIC.attach_generation <= one.generation)
    failures = {failure.id: failure for failure in one.device_failures}
    tx.advance(
        _NIC,
        {"attach_message": "", "busy": False},
        mine,
        _NIC.attach_message != "",
        ~_NIC.failed,
        _NIC.network_interface_id.not_in(sorted(failures)),
    )
    for nic_id, failure in failures.items():
        comes = ~_NIC.detaching & (_NIC.attach_generation > devices_generation)
        tx.advance(
            _NIC,
            {
                "attach_message": failure.message or "The host does not say why.",
                "busy": failure.busy,
                "failed": Case(None, [(comes, True)], _NIC.failed),
            },
            mine,
            _NIC.network_interface_id == nic_id,
        )


def leap(tx: Transaction, host_id: str, generation: int) -> None:
    """The host knows generations that never were here: what is asked of its guests' interfaces is
    asked again under one that it takes for new."""
    placed = Placement.select(Placement.instance_id).where(
        Placement.host_id == host_id, Placement.live
    )
    waiting = _NIC.instance_id.in_(placed), _NIC.attach_generation > 0
    if tx.advance(_NIC, {"attach_generation": generation}, *waiting):
        here = Placement.host_id == host_id, Placement.live, Placement.devices_wanted > 0
        tx.advance(Placement, {"devices_wanted": generation}, *here)
