"""The agenda: what is due, in one pair of hands at a time, and nothing said is missed."""

import random

from hostagent.agenda import Agenda


def test_due_in_the_order_of_waiting():
    agenda = Agenda()
    agenda.wake("b")
    agenda.wake("a")
    agenda.wake("b")
    assert agenda.take(0) == ["b", "a"]
    assert agenda.take(0) == []


def test_no_more_than_there_are_hands():
    agenda = Agenda()
    for key in "abc":
        agenda.wake(key)
    assert agenda.take(0, 2) == ["a", "b"]
    assert agenda.take(0, 0) == []
    assert agenda.take(0, 2) == ["c"]


def test_put_back_for_later_and_woken_before():
    agenda = Agenda()
    agenda.wake("a")
    agenda.take(0)
    agenda.put_back("a", 100)
    assert (agenda.take(99), agenda.next_due()) == ([], 100)
    agenda.wake("a")
    assert agenda.take(50) == ["a"]
    agenda.put_back("a", 200)
    assert agenda.take(100) == []
    assert agenda.next_due() == 200


def test_woken_while_in_hands_is_due_at_once_afterwards():
    agenda = Agenda()
    agenda.wake("a")
    agenda.take(0)
    agenda.wake("a")
    assert agenda.take(0) == []
    agenda.put_back("a", None)
    assert agenda.take(0) == ["a"]


def test_put_back_without_a_time_is_forgotten():
    agenda = Agenda()
    agenda.wake("a")
    agenda.take(0)
    assert not agenda.is_quiet()
    agenda.put_back("a", None)
    assert agenda.next_due() is None
    assert agenda.is_quiet()


def test_against_a_plain_model():
    """Whatever the order of calls: exactly what is due, never in two hands."""
    rng = random.Random(7)
    agenda, due, busy, woken = Agenda(), {}, set(), set()
    for now in range(3000):
        key = rng.choice("abcdef")
        if rng.random() < 0.5:
            agenda.wake(key)
            if key in busy:
                woken.add(key)
            else:
                due[key] = 0
        elif busy:
            key = rng.choice(sorted(busy))
            when = rng.choice([None, now + rng.randrange(20)])
            agenda.put_back(key, when)
            busy.discard(key)
            when = 0 if key in woken else when
            woken.discard(key)
            if when is not None:
                due[key] = when
        if rng.random() < 0.5:
            taken = agenda.take(now, 3)
            ready = sorted((when, key) for key, when in due.items() if when <= now)
            assert len(taken) == min(3, len(ready))
            assert sorted(due[key] for key in taken) == [when for when, _ in ready[:3]]
            for key in taken:
                del due[key]
                busy.add(key)
        assert agenda.next_due() == min(due.values(), default=None)
