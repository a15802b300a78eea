"""Disks of a running domain, by their volumes' ids: attached, let go of, grown, limited, frozen.

A disk bears its volume's id as its alias in the domain ("ua-vol-…"), so that libvirt itself keeps
what a domain has, also while the agent is away. Called by driver, which translates errors.
A domain is made anew for each start: its definition is left alone. Sources of the meaning of flags:
libvirt-domain.h and libvirt-domain-snapshot.h of libvirt 9.0.
"""

import json
import logging
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path

import libvirt
from lxml import etree

from hostagent.compute.hypervisors.libvirt.domain_xml import (
    ALIAS,
    MIB,
    Settings,
    disk_of,
    snapshot_of,
    target_of,
)
from hostagent.compute.hypervisors.libvirt.pci_places import Bus
from hostagent.compute.hypervisors.libvirt.xml_elements import child_of
from hostagent.kernel.errors import DriverError, NotYet
from hostagent.storage.drivers import Disk, GuestDisk

log = logging.getLogger(__name__)

Job = tuple[int, str]  # the domain's id while it runs, the disk's target

COMMIT_RETRY_MS = 500
AGENT_TIMEOUT_S = 10  # for the guest's agent to answer; libvirt would wait for ever
_FREEZE = (
    libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
    | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
    | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT
    | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC
)
_ASKED_ALREADY = "in the process of unplug"  # QEMU's words; it has no code for that


def listed(domain: libvirt.virDomain) -> Sequence[GuestDisk]:
    """One that the guest was asked to let go of is there until it has."""
    runs = domain.isActive()
    return [_guest_disk(domain, name, disk, runs) for name, disk in _disks(domain).items()]


def has(domain: libvirt.virDomain, volume_id: str) -> bool:
    return volume_id in _disks(domain)


def attach(domain: libvirt.virDomain, disk: Disk, settings: Settings) -> None:
    """The same again is the same."""
    tree = tree_of(domain)
    there = disks_of(tree)
    if disk.volume_id not in there:
        taken = {_target(other) for other in there.values()}
        target = target_of(disk.device_name, taken)
        text = disk_of(disk, target, settings, Bus.of(tree)).to_text()
        domain.attachDeviceFlags(text, libvirt.VIR_DOMAIN_AFFECT_LIVE)


def detach(domain: libvirt.virDomain, volume_id: str) -> None:
    """Asks the guest to let go of it, and does not wait."""
    disk = _disks(domain).get(volume_id)
    if disk is None:
        return
    _wait_for_job(domain, volume_id, _target(disk))
    try:
        domain.detachDeviceAlias(ALIAS + volume_id, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    except libvirt.libvirtError as failure:
        if _ASKED_ALREADY not in failure.get_error_message():
            raise


def resize(domain: libvirt.virDomain, volume_id: str, size_bytes: int) -> None:
    target = _target(_existing(domain, volume_id))
    _wait_for_job(domain, volume_id, target)
    domain.blockResize(target, size_bytes, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)


def tune(domain: libvirt.virDomain, volume_id: str, iops: int, throughput_mibps: int) -> None:
    limits = {
        libvirt.VIR_DOMAIN_BLOCK_IOTUNE_TOTAL_IOPS_SEC: iops,
        libvirt.VIR_DOMAIN_BLOCK_IOTUNE_TOTAL_BYTES_SEC: throughput_mibps * MIB,
    }
    target = _target(_existing(domain, volume_id))
    domain.setBlockIoTune(target, limits, libvirt.VIR_DOMAIN_AFFECT_LIVE)


def freeze(domain: libvirt.virDomain, layers: Mapping[str, Path], quiesce: bool) -> None:
    """Only these disks, in one transaction of QEMU's; what quiesces quiesces the whole guest, where
    it has an agent.
    """
    there = _disks(domain)
    for volume_id in layers:
        _wait_for_job(domain, volume_id, _target(_existing(domain, volume_id)))
    text = snapshot_of({_target(disk): layers.get(name) for name, disk in there.items()}).to_text()
    if quiesce:
        domain.agentSetResponseTimeout(AGENT_TIMEOUT_S)
        try:
            domain.snapshotCreateXML(text, _FREEZE | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE)
            return
        except libvirt.libvirtError as failure:  # no agent, or what it cannot: EC2 would not ask
            log.info("%s: its file systems are not quiesced: %s", domain.name(), failure)
            thaw(domain)
    domain.snapshotCreateXML(text, _FREEZE)


def thaw(domain: libvirt.virDomain) -> None:
    """A guest whose file systems came to rest for a freeze that was cut."""
    domain.agentSetResponseTimeout(AGENT_TIMEOUT_S)
    try:
        domain.fsThaw()
    except libvirt.libvirtError as failure:  # mostly no agent: then nothing was brought to rest
        log.info("%s: no file systems to wake: %s", domain.name(), failure)


def commit(
    domain: libvirt.virDomain,
    volume_id: str,
    lowest: Path,
    top: Path,
    failures: MutableMapping[Job, str],
) -> None:
    """Raises NotYet until none of the layers above ``lowest`` up to ``top`` is in the chain; the
    DriverError of one that failed once, and what is asked for then is begun anew.
    """
    target = _target(_existing(domain, volume_id))
    _wait_for_job(domain, volume_id, target)
    failure = failures.pop((domain.ID(), target), None)
    if top == lowest or str(top) not in _chain(_existing(domain, volume_id)):
        return
    if failure is not None:
        raise DriverError(f"{volume_id}: its commit failed: {failure}")
    domain.blockCommit(target, str(lowest), str(top), 0, 0)
    raise NotYet(f"{volume_id}: committing", retry_ms=COMMIT_RETRY_MS)


def failed_commit(domain: libvirt.virDomain, details: str) -> dict[Job, str]:
    """Of QEMU's BLOCK_JOB_COMPLETED: whose commit failed, and why; nothing where none did. libvirt
    itself tells nobody why; it names a job by the disk's target.
    """
    told = json.loads(details)
    kind, _, rest = told["device"].partition("-")
    if kind != "commit" or "error" not in told:
        return {}
    return {(domain.ID(), rest.partition("-")[0]): told["error"]}


def _wait_for_job(domain: libvirt.virDomain, volume_id: str, target: str) -> None:
    """Raises NotYet while the disk is committed: nothing else can be done to it."""
    job = domain.blockJobInfo(target, 0)
    if job:
        share = 100 * job["cur"] // max(job["end"], 1)
        raise NotYet(f"{volume_id}: committing, {share} %", retry_ms=COMMIT_RETRY_MS)


def tree_of(domain: libvirt.virDomain) -> etree._Element:
    return etree.fromstring(domain.XMLDesc(0))


def disks_of(tree: etree._Element) -> dict[str, etree._Element]:
    """Volume id -> the disk as the domain has it."""
    found = {}
    for disk in tree.iterfind("devices/disk"):
        alias = disk.find("alias")
        name = alias.get("name", "") if alias is not None else ""
        if name.startswith(ALIAS):
            found[name.removeprefix(ALIAS)] = disk
    return found


def _disks(domain: libvirt.virDomain) -> dict[str, etree._Element]:
    return disks_of(tree_of(domain))


def _existing(domain: libvirt.virDomain, volume_id: str) -> etree._Element:
    disk = _disks(domain).get(volume_id)
    if disk is None:
        raise DriverError(f"{domain.name()} does not have {volume_id}")
    return disk


def _guest_disk(
    domain: libvirt.virDomain, name: str, disk: etree._Element, runs: bool
) -> GuestDisk:
    source = disk.find("source")
    path = source.get("file") if source is not None else None
    return GuestDisk(
        name,
        Path(path) if path else None,
        domain.blockInfo(_target(disk), 0)[0] if runs else 0,
        int(disk.findtext("iotune/total_iops_sec", "0")),
        int(disk.findtext("iotune/total_bytes_sec", "0")) // MIB,
    )


def _target(disk: etree._Element) -> str:
    return child_of(disk, "target").get("dev", "")


def _chain(disk: etree._Element) -> set[str]:
    """Files below the one that is written."""
    return {source.get("file", "") for source in disk.iterfind(".//backingStore/source")}
