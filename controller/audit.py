"""Does the database agree with itself? The invariants that transactions keep, asked of the data.

``discrepancies`` is asked by the reconcile task, which logs what it finds and mends nothing (what
broke an invariant is a defect that mending would hide), and by tests and simulations after every
run.

    usage of a host       = sum of what its live placements, its volumes, and what it has that
                            is not known here (which is said) claim, at most total × ratio
    quota of an account   = sum of the living
    an instance           has at most one live placement, and none once it is terminated
    a public address      belongs to one interface at most; one lent to nobody is free
    a private address     is that of one interface, as its primary or a secondary one
"""

import logging
from collections.abc import Iterable
from typing import NamedTuple

from peewee import JOIN, fn

from controller.hosts.strangers import of_hosts
from controller.kernel.call import Call
from controller.kernel.database import Database, Session
from controller.kernel.owned import Owned
from controller.kernel.rows import columns
from controller.tables.compute import Instance, Placement
from controller.tables.hosts import Host
from controller.tables.identity import Quota
from controller.tables.network import NetworkInterface, PublicAddress, SecondaryAddress
from controller.tables.storage import Volume
from protos.nouns import QUOTAS

log = logging.getLogger(__name__)

_OF_PLACEMENTS = ("instances", "vcpus", "memory_mib")


class Audit:
    def __init__(self, db: Database, resources: Iterable[Owned]):
        self._db, self._resources = db, tuple(resources)

    def run_once(self, call: Call) -> list[str]:
        with self._db.read(call) as session:
            found = discrepancies(session, self._resources)
        for one in found:
            log.error("audit: %s", one)
        return found


class HostRow(NamedTuple):
    host_id: str
    name: str
    vcpus_used: int
    memory_mib_used: int
    disk_gib_used: int


class QuotaRow(NamedTuple):
    account_id: str
    name: str
    used: int


def discrepancies(session: Session, resources: Iterable[Owned]) -> list[str]:
    """What is not as it must be, a sentence each."""
    return [
        *_hosts(session),
        *_quotas(session, resources),
        *_instances(session),
        *_addresses(session),
    ]


def _hosts(session: Session) -> list[str]:
    claimed = {
        host_id: (vcpus, memory_mib)
        for host_id, vcpus, memory_mib in session.tuples(
            Placement.select(
                Placement.host_id,
                fn.SUM(Placement.vcpus).alias("vcpus"),
                fn.SUM(Placement.memory_mib).alias("memory_mib"),
            )
            .where(Placement.live)
            .group_by(Placement.host_id)
        )
    }
    disks = dict(
        session.tuples(
            Volume.select(Volume.host_id, fn.SUM(Volume.size_gib))
            .where(Volume.host_id.is_null(False))
            .group_by(Volume.host_id)
        )
    )
    found = []
    hosts = session.rows(Host.select(*columns(HostRow, Host)), HostRow)
    strange = of_hosts(session, [host.host_id for host in hosts])
    for host in hosts:
        used = (host.vcpus_used, host.memory_mib_used, host.disk_gib_used)
        sums = [*claimed.get(host.host_id, (0, 0)), disks.get(host.host_id, 0)]
        for one in (one for one in strange if one.host_id == host.host_id):
            found.append(f"host {host.name} has {one.resource_id}, which is not known here")
            sums = [sum(pair) for pair in zip(sums, one[-3:], strict=True)]
        if used != tuple(sums):
            found.append(f"host {host.name} counts {used} used, claimed are {sums}")
    return found


def _quotas(session: Session, resources: Iterable[Owned]) -> list[str]:
    living = {
        account_id: {"vcpus": vcpus, "memory_mib": memory_mib, "instances": instances}
        for account_id, vcpus, memory_mib, instances in session.tuples(
            Placement.select(
                Instance.account_id,
                fn.SUM(Placement.vcpus).alias("vcpus"),
                fn.SUM(Placement.memory_mib).alias("memory_mib"),
                fn.COUNT(Placement.placement_id).alias("living"),
            )
            .join(Instance, on=Instance.instance_id == Placement.instance_id)
            .where(Placement.live)
            .group_by(Instance.account_id)
        )
    }
    for resource in resources:
        for quota in resource.noun.quotas:
            if not quota.charged or quota.name in _OF_PLACEMENTS:
                continue
            amount = resource.sums.get(quota.name, fn.COUNT(resource.key))
            model = resource.key.model
            living_ones = (resource.key.is_null(False), *resource.conditions)
            summed = model.select(resource.owner, amount).where(*living_ones)
            for account_id, count in session.tuples(summed.group_by(resource.owner)):
                living.setdefault(account_id, {})[quota.name] = count
    found = []
    charged = [name for name, (quota, _) in QUOTAS.items() if quota.charged]
    query = Quota.select(*columns(QuotaRow, Quota)).where(Quota.name.in_(charged))
    for row in session.rows(query, QuotaRow):
        there = living.get(row.account_id, {}).get(row.name, 0)
        if row.used != there:
            found.append(f"account {row.account_id} is charged {row.used} {row.name}, has {there}")
    return found


def _instances(session: Session) -> list[str]:
    double = session.tuples(
        Placement.select(Placement.instance_id)
        .where(Placement.live)
        .group_by(Placement.instance_id)
        .having(fn.COUNT(Placement.placement_id) > 1)
    )
    gone = session.tuples(
        Instance.select(Instance.instance_id)
        .join(Placement, on=Placement.instance_id == Instance.instance_id)
        .where(Instance.terminated_ms.is_null(False), Placement.live)
    )
    return [
        *(f"{row[0]} has two live placements" for row in double),
        *(f"{row[0]} is terminated and has a live placement" for row in gone),
    ]


def _addresses(session: Session) -> list[str]:
    idle = session.tuples(
        PublicAddress.select(PublicAddress.public_ip)
        .join(
            NetworkInterface,
            JOIN.LEFT_OUTER,
            on=NetworkInterface.public_ip == PublicAddress.public_ip,
        )
        .where(
            PublicAddress.account_id.is_null(False),
            PublicAddress.allocation_id.is_null(),
            NetworkInterface.network_interface_id.is_null(),
        )
    )
    stolen = session.tuples(
        NetworkInterface.select(NetworkInterface.public_ip)
        .join(PublicAddress, on=PublicAddress.public_ip == NetworkInterface.public_ip)
        .where(
            PublicAddress.account_id.is_null()
            | (PublicAddress.account_id != NetworkInterface.account_id)
        )
    )
    doubled = session.tuples(
        SecondaryAddress.select(SecondaryAddress.private_ip, SecondaryAddress.subnet_id).join(
            NetworkInterface,
            on=(NetworkInterface.subnet_id == SecondaryAddress.subnet_id)
            & (NetworkInterface.private_ip == SecondaryAddress.private_ip),
        )
    )
    carried_twice = session.tuples(
        SecondaryAddress.select(SecondaryAddress.public_ip).join(
            NetworkInterface, on=NetworkInterface.public_ip == SecondaryAddress.public_ip
        )
    )
    return [
        *(f"{row[0]} of {row[1]} is a primary and a secondary address" for row in doubled),
        *(f"{row[0]} is carried twice" for row in carried_twice),
        *(f"{row[0]} is lent and nobody has it" for row in idle),
        *(f"{row[0]} is carried by an interface whose account it is not" for row in stolen),
    ]
