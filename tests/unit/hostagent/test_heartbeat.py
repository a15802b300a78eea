"""The agent's loops: what fails in a report is no end of them."""

import threading

import pytest

from hostagent.kernel.loops import Heartbeat
from protos.cloud.v1 import fleet_pb2
from protos.errors import CloudError, Kind
from tests.harness.waiting import wait_until


class Agent:
    """The core, as the heartbeat knows it: its reports fail as often as told."""

    report_interval_ms = 20

    def __init__(self, fails: list[Exception]):
        self.fails, self.on_news = fails, lambda: None

    def has_news(self) -> bool:
        return False

    def report(self) -> fleet_pb2.HostReport:
        if self.fails:
            raise self.fails.pop()
        return fleet_pb2.HostReport()

    def delivered(self, report, answer) -> None:
        """Nothing was asked for."""


class Fleet:
    def __init__(self):
        self.heard = threading.Event()

    def Report(self, report, timeout_s):
        self.heard.set()
        return fleet_pb2.HostSpec()


@pytest.mark.parametrize(
    "failure",
    [OSError("no more file descriptors"), ValueError("?"), CloudError(Kind.UNAVAILABLE, "away")],
)
def test_a_report_that_cannot_be_made_is_made_later(failure):
    fleet = Fleet()
    heartbeat = Heartbeat(Agent([failure, failure]), fleet, 20)
    heartbeat.start()
    try:
        wait_until("the controller hears of the host", fleet.heard.is_set)
    finally:
        heartbeat.stop()
