"""Starts, stops, reboots, terminates and modifies instances. The only writer of instance.desired.

Called by compute/rpc for users and by reconcile for what follows from what hosts saw (a guest that
powered itself off). Each is one transaction: states are read and changed in it, all instances of a
call or none; a Start that races a Terminate sees its result (docs/ec2.md, 29). Which states allow
what is EC2's: the constants below.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from controller.compute.instances.describe import instances_query
from controller.compute.instances.state import PENDING, RUNNING, STOPPED, STOPPING, visible_state
from controller.compute.instances.view import InstanceRow, state_of
from controller.hosts import capacity as claims
from controller.hosts.capacity import Amount
from controller.hosts.feed import Feed
from controller.hosts.overcommit import Settings
from controller.identity.quotas.rules import Quotas
from controller.kernel.call import Call
from controller.kernel.database import Database, Transaction
from controller.kernel.filters import shown_time
from controller.kernel.lookup import check_ids, check_there
from controller.kernel.owned import Owned
from controller.kernel.state_reasons import state_reason
from controller.network.interfaces import rules as interfaces
from controller.tables.compute import Attachment, Instance, Placement
from controller.tables.network import NetworkInterface
from controller.tables.nouns import INSTANCE, VPC
from protos.errors import CloudError, Kind, missing_parameter

OWNED = Owned(
    "instance",
    Instance.instance_id,
    Instance.account_id,
    facts={
        "ec2:InstanceID": Instance.instance_id,
        "ec2:InstanceType": Instance.instance_type,
        "ec2:AvailabilityZone": Instance.availability_zone,
        "ec2:Tenancy": Instance.tenancy,
        "ec2:EbsOptimized": Instance.ebs_optimized,
        "ec2:MetadataHttpEndpoint": Instance.metadata_http_endpoint,
        "ec2:MetadataHttpTokens": Instance.metadata_http_tokens,
        "ec2:MetadataHttpPutResponseHopLimit": Instance.metadata_hop_limit,
        "ec2:InstanceMetadataTags": Instance.metadata_tags,
    },
)
USER_SHUTDOWN = state_reason("Client.UserInitiatedShutdown", "User initiated shutdown")


@dataclass(frozen=True)
class StateChange:
    instance_id: str
    previous: str
    current: str


class InstanceRules:
    def __init__(
        self,
        db: Database,
        settings: Settings,
        quotas: Quotas,
        feed: Feed,
    ):
        self._db, self._settings = db, settings
        self._quotas, self._feed = quotas, feed

    def start(self, call: Call, instance_ids: Sequence[str]) -> list[StateChange]:
        """Starts stopped instances; nothing happens to those pending or running. Raises
        WRONG_STATE, NO_CAPACITY, QUOTA."""
        with self._db.write(call) as tx:
            rows = find(tx, call.account_id, instance_ids)
            _require(rows, {STOPPED, PENDING, RUNNING}, "started")
            stopped = [row for row in rows if state_of(row) == STOPPED]
            if stopped:
                _require_roots(tx, stopped)
                self._claim_again(tx, stopped)
                named = [row.instance_id for row in stopped]
                interfaces.lend_again(tx, call.account_id, named)
                self._intend(tx, named, "running", "", ("", ""), again=True)
                for vpc_id in vpcs_of(tx, named):
                    self._feed.revise(tx, VPC, [vpc_id], at_once=False)
            return _changed(rows, stopped, "running")

    def stop(self, call: Call, instance_ids: Sequence[str], force: bool) -> list[StateChange]:
        """Stops running instances; nothing happens to those stopped or stopping, but that ``force``
        stops asking the guest."""
        with self._db.write(call) as tx:
            rows = find(tx, call.account_id, instance_ids)
            _require(rows, {RUNNING, STOPPED, STOPPING}, "stopped")
            running = [row for row in rows if state_of(row) == RUNNING]
            for row in running:
                if row.disable_api_stop:
                    raise _protected(row, "stop", "disableApiStop")
            named = [row.instance_id for row in running]
            self._intend(tx, named, "stopped", _by_user(call), USER_SHUTDOWN, force=force)
            stubborn = [row for row in rows if state_of(row) == STOPPING and not row.force_stop]
            if force and stubborn:
                named = [row.instance_id for row in stubborn]
                self._feed.revise(tx, INSTANCE, named, {"force_stop": True})
            return _changed(rows, running, "stopped")

    def reboot(self, call: Call, instance_ids: Sequence[str]) -> None:
        """Queues a reboot of running or pending instances; ignores terminated ones, as EC2's
        reference of RebootInstances has it. Raises WRONG_STATE for one that is off, or on its way
        there."""
        with self._db.write(call) as tx:
            found = find(tx, call.account_id, instance_ids)
            rows = [row for row in found if row.desired != "terminated"]
            _require(rows, {RUNNING, PENDING}, "rebooted")
            ask_reboot(tx, self._feed, [row.instance_id for row in rows])

    def terminate(self, call: Call, instance_ids: Sequence[str]) -> list[StateChange]:
        """Terminates instances in any state; nothing happens to those that end already. Raises
        WRONG_STATE for protected ones."""
        with self._db.write(call) as tx:
            rows = find(tx, call.account_id, instance_ids)
            living = [row for row in rows if row.desired != "terminated"]
            for row in living:
                if row.disable_api_termination:
                    raise _protected(row, "terminated", "disableApiTermination")
            named = [row.instance_id for row in living]
            self._intend(tx, named, "terminated", _by_user(call), USER_SHUTDOWN)
            return _changed(rows, living, "terminated")

    def end(
        self, tx: Transaction, instance_ids: Sequence[str], desired: str, code: str, message: str
    ) -> None:
        """A guest went by itself or could not be made to run: what its user would have asked for is
        intended now."""
        initiated = code.rpartition(".")[2] == "InstanceInitiatedShutdown"
        transition = _at(tx.call.now_ms, "User initiated") if initiated else ""
        transition = transition or _at(tx.call.now_ms, code)
        self._intend(tx, instance_ids, desired, transition, (code, message))

    def _intend(
        self,
        tx: Transaction,
        instance_ids: Sequence[str],
        desired: str,
        transition: str,
        reason: tuple[str, str],
        *,
        force: bool = False,
        again: bool = False,
    ) -> None:
        """Sets what is wanted, under new revisions; their hosts are sent it at once. ``again``: a
        start."""
        changes: dict[str, object] = {
            "desired": desired,
            "force_stop": force,
            "state_transition_reason": transition,
            "state_reason_code": reason[0],
            "state_reason_message": reason[1],
        }
        if again:
            changes |= {"starts": Instance.starts + 1, "launched_ms": tx.call.now_ms}
        self._feed.revise(tx, INSTANCE, instance_ids, changes, stamps=("intent_revision",))

    def _claim_again(self, tx: Transaction, rows: Sequence[InstanceRow]) -> None:
        """vCPUs and memory on the hosts where the disks are; those that were not given back yet are
        theirs still."""
        freed = [row for row in rows if not row.claimed_vcpus]
        for host_id in sorted({row.host_id or "" for row in freed}):
            here = [row for row in freed if row.host_id == host_id]
            amount = Amount(sum(r.vcpus for r in here), sum(r.memory_mib for r in here))
            if claims.claim(tx, host_id, amount, self._settings) is None:
                raise CloudError(
                    Kind.NO_CAPACITY,
                    "We currently do not have sufficient capacity on the host that holds the disks "
                    f"of '{here[0].instance_id}': it is full or does not answer.",
                    noun="instance",
                    id=here[0].instance_id,
                )
        for row in freed:
            claim = {"vcpus": row.vcpus, "memory_mib": row.memory_mib}
            tx.advance(Placement, claim, Placement.placement_id == row.placement_id)
        charges = {
            "vcpus": sum(row.vcpus for row in freed),
            "memory_mib": sum(row.memory_mib for row in freed),
        }
        self._quotas.charge(tx, tx.call.account_id, charges)


def find(tx: Transaction, account_id: str, instance_ids: Sequence[str]) -> list[InstanceRow]:
    """The account's instances of these ids with their live placements, in their order, each once.
    Raises MALFORMED_ID, NOT_FOUND, DENIED."""
    wanted = list(dict.fromkeys(instance_ids))
    if not wanted:
        raise missing_parameter("InstanceId")
    check_ids("instance", wanted)
    query = instances_query().where(
        Instance.account_id == account_id, Instance.instance_id.in_(wanted)
    )
    found = {row.instance_id: row for row in tx.rows(query, InstanceRow)}
    check_there("instance", wanted, found)
    tx.authorize("instance", wanted)
    return [found[instance_id] for instance_id in wanted]


def find_staying(
    tx: Transaction, account_id: str, instance_ids: Sequence[str], done: str
) -> list[InstanceRow]:
    """As ``find``. Raises WRONG_STATE for one that is to be terminated: it cannot be ``done``."""
    rows = find(tx, account_id, instance_ids)
    for row in rows:
        if row.desired == "terminated":
            raise wrong_state(row, done)
    return rows


def ask_reboot(tx: Transaction, feed: Feed, instance_ids: Sequence[str]) -> None:
    """Counts one more requested reboot. A guest that has not started yet counts its start as it."""
    feed.revise(tx, INSTANCE, instance_ids, {"reboots": Instance.reboots + 1})


def wrong_state(row: InstanceRow, done: str) -> CloudError:
    return CloudError(
        Kind.WRONG_STATE,
        f"The instance '{row.instance_id}' is not in a state from which it can be {done}.",
        noun="instance",
        id=row.instance_id,
    )


def _require(rows: Sequence[InstanceRow], states: set[str], done: str) -> None:
    for row in rows:
        if state_of(row) not in states:
            raise wrong_state(row, done)


def _require_roots(tx: Transaction, rows: Sequence[InstanceRow]) -> None:
    """A root disk may have been detached while its instance was stopped."""
    roots = Attachment.select(Attachment.instance_id).where(
        Attachment.instance_id.in_([row.instance_id for row in rows]),
        Attachment.kind == "volume",
        Attachment.position == 0,
        ~Attachment.detaching,
    )
    having = set(tx.column(roots, str))
    for row in rows:
        if row.instance_id not in having:
            raise no_root(row)


def no_root(row: InstanceRow) -> CloudError:
    why = f"Instance does not have a volume attached at root ({row.root_device_name})"
    return bad_instance(row.instance_id, why)


def bad_instance(instance_id: str, why: str) -> CloudError:
    message = f"Invalid value '{instance_id}' for instanceId. {why}"
    return CloudError(Kind.INVALID, message, noun="parameter", id=instance_id)


def _changed(
    rows: Sequence[InstanceRow], changed: Sequence[InstanceRow], desired: str
) -> list[StateChange]:
    """What each was, and is now that ``changed`` are desired so (an intent newer than any
    observation)."""
    touched = {row.instance_id for row in changed}
    return [
        StateChange(
            row.instance_id,
            state_of(row),
            visible_state(desired, row.observed, 0, 1)
            if row.instance_id in touched
            else state_of(row),
        )
        for row in rows
    ]


def vpcs_of(tx: Transaction, instance_ids: Sequence[str]) -> list[str]:
    """The VPCs that these instances have interfaces in."""
    query = NetworkInterface.select(NetworkInterface.vpc_id).distinct()
    attached = interfaces.of_instances(instance_ids)
    return sorted(tx.column(query.where(attached), str))


def _by_user(call: Call) -> str:
    return _at(call.now_ms, "User initiated")


def _at(now_ms: int, why: str) -> str:
    """EC2's form: "User initiated (2026-01-31 12:00:00 GMT)"."""
    return f"{why} ({shown_time(now_ms)[:19].replace('T', ' ')} GMT)"


def _protected(row: InstanceRow, done: str, attribute: str) -> CloudError:
    verb = "stopped" if done == "stop" else "terminated"
    return CloudError(
        Kind.WRONG_STATE,
        f"The instance '{row.instance_id}' may not be {verb}. Modify its '{attribute}' instance "
        "attribute and try again.",
        noun="instance",
        id=row.instance_id,
        reason="stop-protected" if done == "stop" else "termination-protected",
    )
