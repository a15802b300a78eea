"""What follows for network interfaces from what hosts saw: each consequence once.

A reconcile task; also run right after a report that brings something.

    detaching   its guest has the newer devices, or runs no more   it is attached to nothing
    failed      it could not be given to its guest                 it is taken back
"""

import logging
from collections.abc import Callable

from peewee import JOIN, ModelSelect

from controller.call import Call
from controller.db.prepared import prepared
from controller.db.schema import Instance, NetworkInterface, Placement
from controller.db.session import Database
from controller.fleet.changes import Changes
from controller.instances.rest import AT_REST
from controller.networks.attachments import begin_detach
from controller.networks.interfaces import let_go

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
