"""place(): proposes a host for each of some equal instances. Called by compute/launch/plan.

A scheduler (``schedulers/``) chooses among the hosts that the filters (``filters/``) let pass, by
weighers (``weighers/``) where it uses them. Each is a module found by the name that the
configuration gives; a filter, weigher or scheduler more is a file more.
"""

import importlib
import pkgutil
from collections import Counter
from collections.abc import Mapping, Sequence
from types import ModuleType

from controller.compute.scheduling import filters, schedulers, weighers
from controller.compute.scheduling.model import Ask, Candidate, Dice, Proposal
from controller.hosts.overcommit import Settings


class UnknownName(Exception):
    """The configuration names a scheduler, filter or weigher that is not there."""


def names_in(package: ModuleType) -> list[str]:
    """What is there to be named in the configuration."""
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def load(package: ModuleType, name: str) -> ModuleType:
    if name not in names_in(package):
        kind = package.__name__.rpartition(".")[2]
        raise UnknownName(f"no {name!r} among the {kind}: {', '.join(names_in(package))}")
    return importlib.import_module(f"{package.__name__}.{name}")


class Scheduler:
    """A configured scheduler. Raises UnknownName."""

    def __init__(
        self,
        name: str,
        filter_names: Sequence[str],
        multipliers: Mapping[str, float],
        settings: Settings,
        dice: Dice,
    ):
        self._scheduler = load(schedulers, name)
        self._filters = [load(filters, one) for one in filter_names]
        self._weighers = [(load(weighers, one), by) for one, by in multipliers.items()]
        self.settings, self._dice = settings, dice

    def place(self, candidates: Sequence[Candidate], ask: Ask, count: int) -> Proposal:
        """Hosts for ``count`` instances, one after the other, each seeing what the ones before it
        took. One whose hypervisor is away is taken where no other fits: the launch waits there."""
        hosts = {host.host_id: host for host in candidates}
        refused: dict[str, str] = {}
        weights: dict[str, list[float]] = {}
        chosen: list[str] = []
        stale = list(hosts)
        while len(chosen) < count:
            for host_id in stale:
                if reason := self.refusal(hosts[host_id], ask):
                    refused[host_id] = reason
                else:
                    weights[host_id] = [w.weigh(hosts[host_id], ask) for w, _ in self._weighers]
            fitting = [host for host_id, host in hosts.items() if host_id not in refused]
            if not fitting:
                break
            fitting = [host for host in fitting if not host.is_away] or fitting
            best: str = self._scheduler.choose(fitting, self._scores(fitting, weights), self._dice)
            chosen.append(best)
            hosts[best] = hosts[best].with_one_more(ask)
            stale = [best]
        return Proposal(tuple(chosen), Counter(refused.values()))

    def refusal(self, host: Candidate, ask: Ask) -> str:
        """Why this host cannot take it, in a few words, or ""."""
        for one in self._filters:
            reason: str = one.refuses(host, ask, self.settings)
            if reason:
                return reason
        return ""

    def _scores(
        self, fitting: Sequence[Candidate], weights: Mapping[str, list[float]]
    ) -> list[float]:
        """Each host's sum of weights, each weigher's brought to 0..1 over the hosts and
        multiplied."""
        scores = [0.0] * len(fitting)
        for at, (_, multiplier) in enumerate(self._weighers):
            raw = [weights[host.host_id][at] for host in fitting]
            least, most = min(raw), max(raw)
            if most > least:
                scale = multiplier / (most - least)
                for index, weight in enumerate(raw):
                    scores[index] += (weight - least) * scale
        return scores
