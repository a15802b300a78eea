"""Follows the services' logs and prints them in short: ``up`` without --detach.

    tail = LogTail(layout.logs)
    for line in tail.new_lines(): ...    "12:03:44 gateway     ec2 DescribeVpcs 200 ..."

The logs themselves stay as they are: there a line has its date, its level and its module. Of the
supervisor's are shown the starts and ends of services. Called by cli/__main__.
"""

import re
from collections.abc import Iterator
from pathlib import Path

NAME_WIDTH = 11
_LINE = re.compile(r"\d{4}-\d\d-\d\d (\d\d:\d\d:\d\d),\d{3} ([A-Z]+) (.*)")
_MODULE = re.compile(r"[\w.]+(?: [\w-]+)?: ")  # and the host agent's thread
_QUIET = ("INFO", "DEBUG")
_SUPERVISORS = (  # what it says, and what that means
    (r"spawned: '([\w-]+)' with pid (\d+)", r"\1 starts, process \2"),
    (r"success: ([\w-]+) entered RUNNING state.*", r"\1 runs"),
    (r"exited: ([\w-]+) \((.*); not expected\)", r"\1 has ended (\2) and is started again"),
    (r"exited: ([\w-]+) \((.*)\)", r"\1 has ended (\2)"),
    (r"stopped: ([\w-]+) \((.*)\)", r"\1 is stopped (\2)"),
    (r"killing '([\w-]+)' \((\d+)\) with SIGKILL", r"\1 does not end and is killed, process \2"),
)


class LogTail:
    """Reads the lines that are added to the logs of a folder after this was made."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._read = {log: log.stat().st_size for log in self._logs()}

    def new_lines(self) -> Iterator[str]:
        for log in self._logs():
            for line in self._new(log):
                if shown := readable(log.stem, line):
                    yield shown

    def _logs(self) -> list[Path]:
        return sorted(self._folder.glob("*.log"))

    def _new(self, log: Path) -> list[str]:
        """Whole lines only: the rest of one that is being written comes with it."""
        seen = self._read.get(log, 0)
        if log.stat().st_size < seen:
            seen = 0  # rotated
        with log.open("rb") as file:
            file.seek(seen)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read[log] = seen + len(whole) + len(newline)
        return whole.decode(errors="replace").splitlines()


def readable(log: str, line: str) -> str:
    """One line of a log; "" for what is of no use to who reads along."""
    match = _LINE.fullmatch(line)
    if match is None:  # a traceback's, or another program's
        return f"{'':8} {log:<{NAME_WIDTH}} {line}" if line.strip() else ""
    time, level, text = match.groups()
    if log == "supervisord":
        log, text = "supervisor", _of_supervisor(level, text)
        if not text:
            return ""
    else:
        text = text[module.end() :] if (module := _MODULE.match(text)) else text
        text = text if level in _QUIET else f"{level}: {text}"
    return f"{time} {log:<{NAME_WIDTH}} {text}"


def _of_supervisor(level: str, text: str) -> str:
    for pattern, meaning in _SUPERVISORS:
        if match := re.fullmatch(pattern, text):
            return match.expand(meaning)
    # CRIT is how it says, at each start, that its socket asks for no password: its mode does.
    return f"{level}: {text}" if level == "ERRO" else ""
