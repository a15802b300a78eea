"""Asks invariants after each event, those only that could answer otherwise than when last asked.

    watch = Watch(world)
    watch.check()       raises Broken; what held, and of what nothing has changed, is not asked

An invariant depends on the rows that it read, which is noted while it is asked, and on what
``sets`` says that it looks at besides. One that was broken, or never asked, is asked.
"""

from collections import defaultdict

from tests.harness.invariants import Invariant, broken
from tests.harness.invariants.sets import EACH_EVENT


class Watch:
    """See the module's head. ``world.states`` has, by the names of ``sets``, what changes whenever
    that part of the world may have."""

    def __init__(self, world):
        self._world = world
        self._states = dict.fromkeys(EACH_EVENT)  # of which it is known what holds
        self._due = {each for invariants in EACH_EVENT.values() for each in invariants}
        self._changes = 0
        self._readers: dict[str, set[Invariant]] = defaultdict(set)  # query -> who depends on it

    def check(self) -> None:
        records = self._world.records
        with records.still():
            self._find_due()
            if not self._due:
                return
            found = []
            for invariants in EACH_EVENT.values():
                for invariant in invariants:
                    if invariant in self._due:
                        found += self._ask(invariant)
        if found:
            raise broken(found)

    def _find_due(self) -> None:
        records, states = self._world.records, self._world.states
        for part, state in states.items():
            if self._states[part] != state:
                self._states[part] = state
                self._due.update(EACH_EVENT[part])
        if self._changes != records.changes:
            self._changes = records.changes
            for query in records.renewed(self._readers):
                self._due.update(self._readers.get(query, ()))

    def _ask(self, invariant: Invariant) -> list[str]:
        with self._world.records.noting() as asked:
            found = [f"{invariant.__name__}: {breach}" for breach in invariant(self._world)]
        for query in asked:
            self._readers[query].add(invariant)
        if not found:
            self._due.discard(invariant)
        return found
