"""The work queue: what is due, in one pair of hands at a time, and nothing said is missed."""

import random

from hostagent.kernel.work_queue import WorkQueue


def test_due_in_the_order_of_waiting():
    queue = WorkQueue()
    queue.wake("b")
    queue.wake("a")
    queue.wake("b")
    assert queue.take(0) == ["b", "a"]
    assert queue.take(0) == []


def test_no_more_than_there_are_hands():
    queue = WorkQueue()
    for key in "abc":
        queue.wake(key)
    assert queue.take(0, 2) == ["a", "b"]
    assert queue.take(0, 0) == []
    assert queue.take(0, 2) == ["c"]


def test_put_back_for_later_and_woken_before():
    queue = WorkQueue()
    queue.wake("a")
    queue.take(0)
    queue.put_back("a", 100)
    assert (queue.take(99), queue.next_due()) == ([], 100)
    queue.wake("a")
    assert queue.take(50) == ["a"]
    queue.put_back("a", 200)
    assert queue.take(100) == []
    assert queue.next_due() == 200


def test_woken_while_in_hands_is_due_at_once_afterwards():
    queue = WorkQueue()
    queue.wake("a")
    queue.take(0)
    queue.wake("a")
    assert queue.take(0) == []
    queue.put_back("a", None)
    assert queue.take(0) == ["a"]


def test_put_back_without_a_time_is_forgotten():
    queue = WorkQueue()
    queue.wake("a")
    queue.take(0)
    assert not queue.is_quiet()
    queue.put_back("a", None)
    assert queue.next_due() is None
    assert queue.is_quiet()


def test_against_a_plain_model():
    """Whatever the order of calls: exactly what is due, never in two hands."""
    rng = random.Random(7)
    queue, due, busy, woken = WorkQueue(), {}, set(), set()
    for now in range(3000):
        key = rng.choice("abcdef")
        if rng.random() < 0.5:
            queue.wake(key)
            if key in busy:
                woken.add(key)
            else:
                due[key] = 0
        elif busy:
            key = rng.choice(sorted(busy))
            when = rng.choice([None, now + rng.randrange(20)])
            queue.put_back(key, when)
            busy.discard(key)
            when = 0 if key in woken else when
            woken.discard(key)
            if when is not None:
                due[key] = when
        if rng.random() < 0.5:
            taken = queue.take(now, 3)
            ready = sorted((when, key) for key, when in due.items() if when <= now)
            assert len(taken) == min(3, len(ready))
            assert sorted(due[key] for key in taken) == [when for when, _ in ready[:3]]
            for key in taken:
                del due[key]
                busy.add(key)
        assert queue.next_due() == min(due.values(), default=None)
