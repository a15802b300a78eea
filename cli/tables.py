"""Lists of the command line as tables: aligned columns, under a head on a terminal.

    show(("NAME", "VCPUS"), [("host-1", 8)])

Elsewhere than on a terminal (a pipe, a file) there is no head and no style: one line a row, for
grep and awk. Nothing is ever cut off or wrapped. Called by the commands that list something.
"""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

_UNBOUNDED = 100_000  # columns: a line may be longer than the terminal is wide


def show(
    head: Sequence[str], rows: Sequence[Sequence[object]], console: Console | None = None
) -> None:
    """A column with numbers is aligned to the right. An empty list is only its head, or nothing."""
    console = console or Console()
    for line in lines(head, rows, console):
        console.print(line, soft_wrap=True, highlight=False)


def lines(head: Sequence[str], rows: Sequence[Sequence[object]], console: Console) -> list[Text]:
    """As ``show`` prints them."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.show_header = console.is_terminal
    for number, title in enumerate(head):
        is_number = any(isinstance(row[number], int) for row in rows)
        table.add_column(title, justify="right" if is_number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    options = console.options.update(width=_UNBOUNDED)
    found = []
    for line in console.render_lines(table, options, pad=False):
        text = Text.assemble(*((segment.text, segment.style or "") for segment in line))
        text.rstrip()
        found.append(text)
    return found
