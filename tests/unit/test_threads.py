"""Threads that must live end their process where they fail; work that nobody waits for is said."""

import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from protos.threads import submit, vital
from tests.harness.waiting import wait_until
from tests.unit.test_house_rules import ROOT

PROCESS = """
import logging, sys, threading
from protos.threads import vital
logging.basicConfig()
def work():
    {fails}
vital("heartbeat", work).start()
threading.Event().wait(30)
"""


@pytest.mark.parametrize("fails", ["1 / 0", "sys.exit(0)", "raise KeyboardInterrupt"])
def test_its_failure_ends_the_process_loudly(fails):
    ended = subprocess.run(
        [sys.executable, "-c", PROCESS.format(fails=fails)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=25,
    )
    assert ended.returncode == 1
    assert "CRITICAL" in ended.stderr and "the thread heartbeat has failed" in ended.stderr
    assert "Traceback" in ended.stderr


def test_one_that_was_told_to_stop_ends_nothing():
    failures = []
    thread = vital("heartbeat", lambda: None, lambda: failures.append(1))
    thread.start()
    thread.join()
    assert failures == []


def test_what_background_work_raises_is_said(caplog):
    with ThreadPoolExecutor(1) as pool:
        submit(pool, lambda given: 1 / given, 0)
        submit(pool, lambda given: given, 0)
    wait_until("it is said", lambda: caplog.records)
    (said,) = caplog.records
    assert said.levelno == logging.CRITICAL and said.exc_info[0] is ZeroDivisionError
