"""What `up` shows of the logs while it stays."""

import pytest

from cli.log_tail import LogTail, readable

STAMP = "2026-11-24 00:02:47,130"


@pytest.mark.parametrize(
    ("log", "line", "shown"),
    [
        (
            "gateway",
            f"{STAMP} INFO gateway.access: 854626348371 POST RunInstances 200 5.2 ms r-1",
            "00:02:47 gateway     854626348371 POST RunInstances 200 5.2 ms r-1",
        ),
        (
            "hostagent",
            f"{STAMP} INFO hostagent.service MainThread: host h-1 (fake) serves on 127.0.0.1:1",
            "00:02:47 hostagent   host h-1 (fake) serves on 127.0.0.1:1",
        ),
        (
            "controller",
            f"{STAMP} ERROR controller.hosts: host h-1 does not answer: timed out",
            "00:02:47 controller  ERROR: host h-1 does not answer: timed out",
        ),
        ("gateway", "Traceback (most recent call last):", None),
        ("libvirtd", "2026-11-24 00:02:47.130+0000: 12: error : virNetSocket:1", None),
        ("gateway", "", ""),
        (
            "supervisord",
            f"{STAMP} INFO spawned: 'controller' with pid 1851",
            "00:02:47 supervisor  controller starts, process 1851",
        ),
        (
            "supervisord",
            f"{STAMP} INFO success: gateway entered RUNNING state, process has stayed up for "
            "> than 3 seconds (startsecs)",
            "00:02:47 supervisor  gateway runs",
        ),
        (
            "supervisord",
            f"{STAMP} WARN exited: gateway (terminated by SIGKILL; not expected)",
            "00:02:47 supervisor  gateway has ended (terminated by SIGKILL) and is started again",
        ),
        (
            "supervisord",
            f"{STAMP} INFO exited: gateway (exit status 1; not expected)",
            "00:02:47 supervisor  gateway has ended (exit status 1) and is started again",
        ),
        (
            "supervisord",
            f"{STAMP} ERRO pool x event buffer overflowed",
            "00:02:47 supervisor  ERRO: pool x event buffer overflowed",
        ),
        ("supervisord", f"{STAMP} INFO RPC interface 'supervisor' initialized", ""),
        (
            "supervisord",
            f"{STAMP} CRIT Server 'unix_http_server' running without any HTTP authentication",
            "",
        ),
    ],
)
def test_lines(log, line, shown):
    if shown is None:  # nobody's format: as it is, below its log's name
        shown = f"{'':8} {log:<11} {line}"
    assert readable(log, line) == shown


def test_what_is_new_is_shown_once_and_whole(tmp_path):
    log = tmp_path / "gateway.log"
    log.write_text(f"{STAMP} INFO gateway: old\n")
    tail = LogTail(tmp_path)
    assert list(tail.new_lines()) == []
    with log.open("a") as file:
        file.write(f"{STAMP} INFO gateway: one\n{STAMP} INFO gate")
        file.flush()
        assert [line.split()[-1] for line in tail.new_lines()] == ["one"]
        file.write("way: two\n")
    assert [line.split()[-1] for line in tail.new_lines()] == ["two"]


def test_rotated_and_new_logs_are_read_from_their_beginning(tmp_path):
    log = tmp_path / "gateway.log"
    log.write_text(f"{STAMP} INFO gateway: a long line of before\n")
    tail = LogTail(tmp_path)
    log.write_text(f"{STAMP} INFO gateway: anew\n")
    (tmp_path / "hostagent.log").write_text(f"{STAMP} INFO hostagent MainThread: first\n")
    assert [line.split()[-1] for line in tail.new_lines()] == ["anew", "first"]
