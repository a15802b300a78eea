"""The worker's table: every row, and that no situation is left out."""

import itertools
from dataclasses import fields, replace

import pytest

from hostagent.compute.drivers import Power
from hostagent.compute.table import ROWS, Do, Situation, choose
from protos.cloud.v1.fleet_pb2 import RUNNING, STOPPED, TERMINATED

FLAGS = [field.name for field in fields(Situation) if field.name not in ("desired", "power")]


def situations():
    for desired, power in itertools.product((RUNNING, STOPPED, TERMINATED), Power):
        for values in itertools.product((False, True), repeat=len(FLAGS)):
            yield Situation(desired, power, **dict(zip(FLAGS, values, strict=True)))


def test_every_situation_has_a_row_and_every_row_a_situation():
    used = set()
    for situation in situations():
        choose(situation)
        used.add(
            next(
                number
                for number, row in enumerate(ROWS)
                if row.desired == situation.desired
                and situation.power in row.powers
                and row.when(situation)
            )
        )
    assert used == set(range(len(ROWS)))


def test_an_unknown_desire_has_none():
    with pytest.raises(LookupError):
        choose(Situation(0, Power.NONE))


# fmt: off
CASES = [
    (RUNNING,    Power.NONE,          "",                              Do.BRING_UP),
    (RUNNING,    Power.NONE,          "begun",                         Do.BRING_UP),
    (RUNNING,    Power.NONE,          "spent",                         Do.HOLD),
    (RUNNING,    Power.OFF,           "begun",                         Do.RESTART),
    (RUNNING,    Power.OFF,           "begun machine_rebooted",        Do.RESTART),
    (RUNNING,    Power.CRASHED,       "begun",                         Do.RESTART),
    (RUNNING,    Power.CRASHED,       "begun spent",                   Do.HOLD),
    (RUNNING,    Power.PAUSED,        "",                              Do.RESTART),
    (RUNNING,    Power.PAUSED,        "begun",                         Do.RESUME),
    (RUNNING,    Power.PAUSED,        "spent",                         Do.TAKE_DOWN),
    (RUNNING,    Power.EXITED,        "begun",                         Do.NOTE_EXIT),
    (RUNNING,    Power.EXITED,        "begun spent",                   Do.HOLD),
    (RUNNING,    Power.EXITED,        "",                              Do.RESTART),
    (RUNNING,    Power.EXITED,        "begun machine_rebooted",        Do.RESTART),
    (RUNNING,    Power.EXITED,        "begun rebooting requested",     Do.RESTART),
    (RUNNING,    Power.RUNNING,       "",                              Do.BRING_UP),
    (RUNNING,    Power.RUNNING,       "begun",                         Do.KEEP),
    (RUNNING,    Power.RUNNING,       "begun rebooting",               Do.REBOOT),
    (RUNNING,    Power.RUNNING,       "begun rebooting requested",     Do.WAIT),
    (RUNNING,    Power.RUNNING,       "begun rebooting reboot_seen",   Do.NOTE_REBOOT),
    (RUNNING,    Power.RUNNING,       "begun rebooting overdue",       Do.RESET),
    (RUNNING,    Power.SHUTTING_DOWN, "begun",                         Do.WAIT),
    (RUNNING,    Power.SHUTTING_DOWN, "begun rebooting overdue",       Do.RESET),
    (RUNNING,    Power.RUNNING,       "begun wanted_off rebooting",    Do.SHUT_DOWN),
    (RUNNING,    Power.RUNNING,       "begun wanted_off requested",    Do.WAIT),
    (RUNNING,    Power.SHUTTING_DOWN, "begun wanted_off rebooting",    Do.WAIT),
    (RUNNING,    Power.RUNNING,       "begun wanted_off overdue",      Do.POWER_OFF),
    (RUNNING,    Power.EXITED,        "begun wanted_off rebooting",    Do.STAY_OFF),
    (RUNNING,    Power.OFF,           "begun wanted_off requested",    Do.STAY_OFF),
    (RUNNING,    Power.NONE,          "wanted_off",                    Do.STAY_OFF),
    (RUNNING,    Power.EXITED,        "begun wanted_off spent",        Do.HOLD),
    (STOPPED,    Power.NONE,          "",                              Do.TAKE_DOWN),
    (STOPPED,    Power.EXITED,        "begun requested",               Do.TAKE_DOWN),
    (STOPPED,    Power.CRASHED,       "begun",                         Do.TAKE_DOWN),
    (STOPPED,    Power.PAUSED,        "begun",                         Do.POWER_OFF),
    (STOPPED,    Power.RUNNING,       "begun",                         Do.SHUT_DOWN),
    (STOPPED,    Power.RUNNING,       "begun requested",               Do.WAIT),
    (STOPPED,    Power.RUNNING,       "begun overdue",                 Do.POWER_OFF),
    (STOPPED,    Power.RUNNING,       "begun forced",                  Do.POWER_OFF),
    (STOPPED,    Power.SHUTTING_DOWN, "begun requested",               Do.WAIT),
    (STOPPED,    Power.NONE,          "wanted_off",                    Do.TAKE_DOWN),
    (TERMINATED, Power.NONE,          "",                              Do.TEAR_DOWN),
    (TERMINATED, Power.PAUSED,        "graceful",                      Do.TEAR_DOWN),
    (TERMINATED, Power.RUNNING,       "begun",                         Do.TEAR_DOWN),
    (TERMINATED, Power.RUNNING,       "begun graceful",                Do.SHUT_DOWN),
    (TERMINATED, Power.RUNNING,       "begun graceful requested",      Do.WAIT),
    (TERMINATED, Power.RUNNING,       "begun graceful overdue",        Do.TEAR_DOWN),
    (TERMINATED, Power.RUNNING,       "begun graceful forced",         Do.TEAR_DOWN),
]
# fmt: on


@pytest.mark.parametrize("desired, power, flags, do", CASES)
def test_row(desired, power, flags, do):
    assert choose(replace(Situation(desired, power), **dict.fromkeys(flags.split(), True))) is do


def test_a_spent_start_never_runs_again_by_itself():
    starting = {Do.BRING_UP, Do.RESTART, Do.RESUME, Do.REBOOT, Do.RESET}
    for situation in situations():
        if situation.desired == RUNNING and situation.spent:
            assert choose(situation) not in starting


def test_nothing_but_the_guests_own_exit_is_taken_for_it():
    for situation in situations():
        if choose(situation) is Do.NOTE_EXIT:
            assert situation.power is Power.EXITED
            assert situation.begun
            assert not situation.machine_rebooted
