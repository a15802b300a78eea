"""What a call is drawn with: a run's seeded choices, and what customers know of one another.

Made by the workload, passed to each call of ``calls``.
"""

import random
from collections.abc import Iterable

from tests.harness.customers import Customer


class Draw:
    """See the module's head."""

    def __init__(self, rng: random.Random, customers: list[Customer]):
        self._rng, self._customers = rng, customers
        self._names = 0

    def some(self, known: Iterable[str], most: int = 1) -> list[str]:
        known = list(known)
        count = min(len(known), self._rng.randint(1, most))
        return self._rng.sample(known, count)

    def one(self, known: Iterable):
        known = list(known)
        return self._rng.choice(known) if known else None

    def chance(self, probability: float) -> bool:
        return self._rng.random() < probability

    def between(self, least: int, most: int) -> int:
        return self._rng.randint(least, most)

    def fresh(self, prefix: str) -> str:
        self._names += 1
        return f"{prefix}-{self._names}"

    def others(self, customer: Customer, noun: str = "instances") -> list[str]:
        """Ids of what is another's."""
        return [
            name
            for other in self._customers
            if other is not customer
            for name in getattr(other, noun)
        ]

    def another(self, customer: Customer) -> Customer:
        return self.one(other for other in self._customers if other is not customer)
