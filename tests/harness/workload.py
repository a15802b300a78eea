"""What the customers of a simulated cloud do: a seeded stream of calls, as boto3 scripts make them.

Each customer knows only what her own answers told her. A call that was not answered is made again
later with the same client token, as SDKs do. Some calls are rehearsals (DryRun), some name what is
another's, some are wrong: a refusal is an answer too. The calls themselves are in ``calls``, a file
for each noun.
"""

import random
from collections.abc import Callable, Sequence

from protos.errors import CloudError, Kind
from tests.harness import calls
from tests.harness.calls import interfaces, networks
from tests.harness.calls.addresses import allocate
from tests.harness.calls.groups import authorize, create_group
from tests.harness.calls.instances import run
from tests.harness.calls.reading import look_at_subnets
from tests.harness.calls.volumes import create as create_volume
from tests.harness.customers import Call, Customer, learn
from tests.harness.draw import Draw

# ask(customer, call, dry_run) -> answer; raises CloudError
Ask = Callable[[Customer, Call, bool], object]
BEGINNING = (look_at_subnets, create_group, authorize, allocate, run, create_volume)
NETWORK = (  # half of the customers have one of their own, too
    networks.create_vpc,
    networks.create_subnet,
    networks.create_subnet,
    networks.attach_gateway,
    networks.attach_gateway,
    networks.create_table,
    networks.change_route,
    networks.associate_table,
    interfaces.create,
)
FOCUS = (0, 1, 1, 4)  # how much of a run is about a noun


class Workload:
    """``step()`` makes one call for one of the customers; how frequent which kinds are is drawn for
    each run."""

    def __init__(self, rng: random.Random, customers: list[Customer], operator: Customer, ask: Ask):
        self._rng, self._customers, self._operator, self._ask = rng, customers, operator, ask
        self._draw = Draw(rng, customers)
        self._actions = [action for noun in calls.NOUNS for action, _ in noun]
        self._weights = [
            weight * focus
            for noun in calls.NOUNS
            for focus in [1 if run in dict(noun) else rng.choice(FOCUS)]
            for weight in swarm(rng, noun, always=(run,))
        ]

    def begin(self) -> None:
        """What everybody has before anything goes wrong."""
        for customer in self._customers:
            more = NETWORK if self._rng.random() < 0.5 else ()
            for action in (*BEGINNING, *more):
                if (call := action(self._draw, customer)) is not None:
                    self._make(customer, call, 0)

    def step(self) -> None:
        customer = self._rng.choice(self._customers)
        if customer.unanswered and self._rng.random() < 0.7:
            call, tries = customer.unanswered.pop(0)
            self._make(customer, call, tries)
            return
        action = self._rng.choices(self._actions, self._weights)[0]
        call = action(self._draw, customer)
        if call is None:
            return
        caller = self._operator if call.service == "Quotas" else customer
        self._make(caller, call, 0, dry_run=self._rng.random() < 0.04)

    def _make(self, customer: Customer, call: Call, tries: int, dry_run: bool = False) -> None:
        try:
            learn(customer, call, self._ask(customer, call, dry_run))
        except CloudError as refusal:
            if refusal.kind is Kind.UNAVAILABLE and tries < 4 and not dry_run:
                customer.unanswered.append((call, tries + 1))


def swarm(rng: random.Random, weighted: Sequence[tuple[Callable, int]], always=()) -> list[int]:
    """Weights of a run of its own: some kinds are left out, some come all the time, so that each
    run goes deep somewhere, and no pair of kinds is always diluted by all the others."""
    return [
        weight * (1 if kind in always else rng.choice((0, 1, 1, 5))) for kind, weight in weighted
    ]
