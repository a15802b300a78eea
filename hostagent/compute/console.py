"""The console's log of a guest, as virtlogd keeps it: the newest part is <id>.log, older ones
.log.0, .log.1 ... Read by the server for GetConsoleOutput; bounded by what is asked for.
"""

from pathlib import Path

OLDER_PARTS = 8  # virtlogd keeps fewer


def read_tail(consoles: Path, instance_id: str, most: int) -> tuple[bytes, int]:
    """The last ``most`` bytes and when they were written (ms since the epoch; 0: nothing yet)."""
    newest = console_path(consoles, instance_id)
    parts = [newest, *(newest.with_name(f"{newest.name}.{n}") for n in range(OLDER_PARTS))]
    output, written_ms = b"", 0
    for part in parts:
        if len(output) >= most:
            break
        try:
            with open(part, "rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - (most - len(output))))
                output = file.read(most - len(output)) + output
            written_ms = written_ms or part.stat().st_mtime_ns // 1_000_000
        except FileNotFoundError:
            continue  # never written, or just moved on by virtlogd
    return output, written_ms


def console_path(consoles: Path, instance_id: str) -> Path:
    """The console's log. virtlogd keeps older parts beside it as <name>.0, <name>.1 ..."""
    return consoles / f"{instance_id}.log"


def console_files(consoles: Path, instance_id: str) -> list[Path]:
    """All parts of a console's log that are there."""
    return sorted(consoles.glob(f"{instance_id}.log*"))
