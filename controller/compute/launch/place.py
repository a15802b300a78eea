"""Where a launch's instances go: proposed by the scheduler, charged to the account, claimed on the
hosts.

Called by compute/launch/launcher inside its transaction; what it raises undoes all of it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from controller.compute.launch import read as launch_read
from controller.compute.launch.plan import Places, Plan
from controller.compute.scheduling.model import Ask, Candidate, Proposal
from controller.compute.scheduling.place import Scheduler
from controller.config import Zone
from controller.hosts import capacity as claims
from controller.identity.quotas.rules import Quotas
from controller.kernel.database import Transaction
from protos.errors import CloudError, Kind


class Placer:
    def __init__(self, scheduler: Scheduler, quotas: Quotas, zones: Sequence[Zone]):
        self._scheduler, self._quotas = scheduler, quotas
        self._placement = {zone.name: zone.homes for zone in zones}

    def place(self, tx: Transaction, plan: Plan) -> Places:
        """Where the instances go, charged and claimed: at least min_count of them."""
        hosts = launch_read.candidates(tx, plan.known.image_digest)
        zone, proposal = self._choose_zone(hosts, plan)
        if len(proposal.host_ids) < plan.request.min_count:
            raise self._no_capacity(plan, proposal)
        count = self._charge(tx, plan, len(proposal.host_ids))
        first = replace(proposal, host_ids=proposal.host_ids[:count])
        places, refusals = self._claim(tx, plan, hosts, zone, first)
        placed = len(places.host_ids)
        if placed < plan.request.min_count:
            raise self._no_capacity(plan, refusals)
        if placed < count:  # others were quicker between the proposal and the claim
            self._quotas.refund(tx, tx.call.account_id, _charges(plan, count - placed))
        return places

    def _choose_zone(self, hosts: Sequence[Candidate], plan: Plan) -> tuple[str, Proposal]:
        """The zone that the scheduler's first choice is in, or the first other that holds
        enough."""
        zones = sorted(plan.zones)
        if len(zones) > 1:
            anywhere = self._scheduler.place(hosts, self._ask(plan, *zones), 1).host_ids
            first = {host.availability_zone for host in hosts if host.host_id in anywhere}
            zones.sort(key=lambda zone: first.isdisjoint(self._served_by(zone)))
        best = ("", Proposal(()))
        for zone in zones:
            there = self._ask(plan, zone)
            proposal = self._scheduler.place(hosts, there, plan.request.max_count)
            if not best[0] or len(proposal.host_ids) > len(best[1].host_ids):
                best = (zone, proposal)
            if len(best[1].host_ids) >= plan.request.min_count:
                break
        return best

    def _ask(self, plan: Plan, *zones: str) -> Ask:
        """For the scheduler: each of these zones is where the hosts are that stand for it."""
        homes = frozenset().union(*map(self._served_by, zones))
        return replace(plan.ask, availability_zones=homes)

    def _served_by(self, zone: str) -> frozenset[str]:
        """Also of a zone that the configuration has lost, and that still has a subnet."""
        return self._placement.get(zone, frozenset({zone}))

    def _charge(self, tx: Transaction, plan: Plan, count: int) -> int:
        """Charges for ``count`` instances, or as many as the quotas hold but min_count at least;
        answers how many."""
        account_id, least = tx.call.account_id, plan.request.min_count
        if count > least:
            room = self._quotas.room(tx, account_id)
            one = {name: amount for name, amount in _charges(plan, 1).items() if amount}
            count = max(least, min(count, *(room[name] // amount for name, amount in one.items())))
        self._quotas.charge(tx, account_id, _charges(plan, count))
        return count

    def _claim(
        self,
        tx: Transaction,
        plan: Plan,
        hosts: Sequence[Candidate],
        zone: str,
        proposal: Proposal,
    ) -> tuple[Places, Proposal]:
        """Claims what the scheduler proposes; a host that refuses is left out of the next
        proposal."""
        there = self._ask(plan, zone)
        left = {host.host_id: host for host in hosts}
        placed: list[str] = []
        moved: dict[str, int] = {}
        count, lost = len(proposal.host_ids), 0
        while proposal.host_ids:
            for host_id, asked in sorted(Counter(proposal.host_ids).items()):
                amount, vpc_id = plan.each.times(asked), plan.network.vpc_id
                positions = claims.claim(tx, host_id, amount, self._scheduler.settings, vpc_id)
                if positions is None:
                    del left[host_id]
                    lost += 1
                    continue
                moved |= positions
                placed += [host_id] * asked
                for _ in range(asked):
                    left[host_id] = left[host_id].with_one_more(plan.ask)
            if len(placed) == count:
                break
            proposal = self._scheduler.place(list(left.values()), there, count - len(placed))
        refusals = Counter(proposal.refusals)
        refusals["taken by others meanwhile"] += lost
        return Places(zone, tuple(placed), moved), Proposal((), +refusals)

    def _no_capacity(self, plan: Plan, proposal: Proposal) -> CloudError:
        zone = plan.request.availability_zone or "any zone"
        return CloudError(
            Kind.NO_CAPACITY,
            f"We currently do not have sufficient {plan.known.type_name} capacity in the "
            f"Availability Zone you requested ({zone}): {proposal.explanation()}.",
            noun="instance",
        )


def _charges(plan: Plan, count: int) -> dict[str, int]:
    return {
        "instances": count,
        "vcpus": plan.ask.vcpus * count,
        "memory_mib": plan.ask.memory_mib * count,
        "volumes": len(plan.disks) * count,
        "gigabytes": plan.ask.disk_gib * count,
        "network_interfaces": plan.new_interfaces * count,
    }
