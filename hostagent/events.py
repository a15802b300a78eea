"""Which workers look when the host's drivers say that something happened.

    watch(agent, ledger, drivers, copies)     from now on
    guest_changed(agent, ledger, "i-1")       a guest may have changed; "" = any of them

Called by app; the drivers call from any thread.
"""

from hostagent.compute.host import Drivers
from hostagent.compute.instance_kind import INSTANCE
from hostagent.kernel.agent import Agent
from hostagent.ledger import VOLUME, VPC, HostLedger
from hostagent.storage.snapshots.copies import Copies
from hostagent.storage.snapshots.kind import SNAPSHOT
from hostagent.storage.snapshots.progress import waiting_for


def watch(agent: Agent, ledger: HostLedger, drivers: Drivers, copies: Copies) -> None:
    """VPCs that instances need are looked at once, described yet or not."""
    drivers.hypervisor.watch(lambda instance_id: guest_changed(agent, ledger, instance_id))
    drivers.images.watch(lambda digest: _image_changed(agent, ledger, digest))
    copies.watch(lambda snapshot_id: agent.wake(SNAPSHOT.key(snapshot_id)))
    for vpc_id in sorted(drivers.vpcs.wanted()):
        agent.wake(VPC.key(vpc_id))


def guest_changed(agent: Agent, ledger: HostLedger, instance_id: str) -> None:
    """A domain that is not in the ledger concerns the next audit only."""
    if not instance_id:
        agent.on_news()  # said at once, where it was said that the hypervisor is away
    for name in (instance_id,) if instance_id else ledger.instances.all():
        if ledger.instances.get(name) is not None:
            agent.wake(INSTANCE.key(name))
            for snapshot_id in waiting_for(ledger.snapshots.all(), name):
                agent.wake(SNAPSHOT.key(snapshot_id))


def _image_changed(agent: Agent, ledger: HostLedger, digest: str) -> None:
    for name, instance in ledger.instances.all().items():
        if any(disk.image.digest == digest for disk in instance.spec.disks):
            agent.wake(INSTANCE.key(name))
    for name, volume in ledger.volumes.all().items():
        if volume.spec.source.digest == digest:
            agent.wake(VOLUME.key(name))
