"""What goes wrong, as a person who typed a command reads it. Raised by every file of this room."""

from typing import IO, Any

import click


class CliError(click.ClickException):
    """A sentence that says what is wrong and what to do about it. Ends the command with code 1."""

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"pileus: {self.format_message()}", file=file, err=file is None)
