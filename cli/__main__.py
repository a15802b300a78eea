"""The command line: ``./pileus COMMAND``, which is ``python -m cli COMMAND`` in the venv.

Commands that start and stop the cloud are here; those that call its API are in
cli/administration.py.
"""

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from cli import cloud, services
from cli.administration import commands as administration_commands
from cli.cloud import Cloud, Wishes
from cli.down import Down
from cli.images import DEMO_NAME
from cli.layout import Layout
from cli.log_tail import LogTail
from cli.progress import Progress
from cli.services import ROOT
from cli.status import Status
from cli.up import Up, exports
from protos import private_files
from protos.version import VERSION

FOLLOW_POLL_S = 0.3
AUDIT_TIMEOUT_S = 300

state_dir_option = click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False, readable=False),
    envvar="PILEUS_STATE_DIR",
    help="Where the cloud lies (also by PILEUS_STATE_DIR); by default /var/lib/pileus, or below "
    "~/.local/state without root.",
)
cache_dir_option = click.option(
    "--cache-dir",
    type=click.Path(path_type=Path, file_okay=False, readable=False),
    envvar="PILEUS_CACHE_DIR",
    help="Where the demo image and QEMU's capabilities are kept for the next cloud.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, "--version", prog_name="pileus")
def main() -> None:
    """Pileus: an EC2-compatible cloud on your own servers.

    Two more are for those who work on Pileus: `./pileus test [-e lint|unit|clients|real]` runs
    every test, or those of one environment; `./pileus lock` writes the lock of its Python packages.
    """
    private_files.begin()


@main.command()
@state_dir_option
@cache_dir_option
@click.option("--detach", is_flag=True, help="Come back when the cloud is ready.")
@click.option(
    "--hypervisor",
    type=click.Choice(["auto", "kvm", "qemu", "fake"]),
    help="auto takes KVM where it works, else QEMU; fake needs no root and runs no guests.",
)
@click.option("--port", type=click.IntRange(1, 65535), help="Of the endpoint; 8773 unless said.")
@click.option(
    "--listen",
    "--host",
    "listen",
    metavar="ADDRESS",
    help="Of the endpoint; 127.0.0.1 unless said. Any other address is served over TLS.",
)
@click.option("--hosts", type=int, metavar="N", help="So many fake hosts.")
@click.option("--region", help="us-east-1 unless said.")
@click.option("--zone", help="The (first) availability zone; the region's name with an a.")
@click.option(
    "--zones",
    type=int,
    metavar="N",
    help="So many availability zones, all on the same hosts: for templates that are written for "
    "several. 1 unless said; more may be added later.",
)
@click.option(
    "--public-cidr", metavar="CIDR", help="Public addresses to lend; 100.64.0.0/24 unless said."
)
@click.option(
    "--sigv2/--no-sigv2",
    default=None,
    help="Whether signatures of version 2 are taken too, which old clients make; off unless said.",
)
@click.option(
    "--signing-region",
    metavar="NAME|any",
    help="What signatures may name beside the cloud's region, for clients that sign for one of "
    "their own (euca2ools).",
)
def up(state_dir: Path | None, cache_dir: Path | None, detach: bool, **wishes: Any) -> None:
    """Bring the cloud up, or find it running; wait until a launch would succeed.

    What is chosen at the first `up` is kept; a later one may change where the endpoint is
    (--listen, --port), add zones, and change which signatures are taken.
    """
    layout = Layout.of(state_dir, cache_dir)
    progress = Progress(Console(stderr=False))
    chosen = Up(layout, progress).run(Wishes(**wishes))
    progress.print(_welcome(layout, chosen))
    if not detach:
        _follow(layout, progress)


def _welcome(layout: Layout, chosen: Cloud) -> str:
    no_aws = "" if shutil.which("aws") else "(`pip install awscli`, or any other tool for EC2.)\n"
    return (
        f"\nEndpoint: {chosen.endpoint}\n\n"
        f"{exports(layout, chosen)}\n"
        f'Or: eval "$(./pileus env{layout.option})"    Then try:\n'
        "  aws ec2 describe-images --owners amazon\n"  # the operator's public ones, no stranger's
        "  aws ec2 run-instances --image-id $(aws ec2 describe-images --owners amazon --filters "
        f"Name=name,Values={DEMO_NAME} --query 'Images[0].ImageId' --output text) "
        "--instance-type t2.nano\n"
        "  aws ec2 describe-instances\n"
        f"{no_aws}"
    )


def _follow(layout: Layout, progress: Progress) -> None:
    """Shows what the services say until Ctrl-C, which stops them; guests keep running."""
    progress.print(f"Ctrl-C stops the services; guests keep running. All they say: {layout.logs}\n")
    tail = LogTail(layout.logs)
    try:
        while services.is_supervised(layout):
            for line in tail.new_lines():
                progress.print(line)
            time.sleep(FOLLOW_POLL_S)
        progress.print("The supervisor has ended.")
    except KeyboardInterrupt:
        progress.print()
        Down(layout, progress).run(destroy=False)


@main.command()
@state_dir_option
@cache_dir_option
@click.option("--destroy", is_flag=True, help="Terminate all guests and remove all that was made.")
def down(state_dir: Path | None, cache_dir: Path | None, destroy: bool) -> None:
    """Stop the services. Guests keep running."""
    Down(Layout.of(state_dir, cache_dir), Progress(Console())).run(destroy)


@main.command()
@state_dir_option
def status(state_dir: Path | None) -> None:
    """Show what runs. Exit code 0 only when a launch would succeed."""
    ready = Status(Layout.of(state_dir), Progress(Console())).show()
    sys.exit(0 if ready else 1)


@main.command()
@state_dir_option
def env(state_dir: Path | None) -> None:
    """Print shell exports of the endpoint and the operator's access key."""
    layout = Layout.of(state_dir)
    click.echo(exports(layout, cloud.require(layout)), nl=False)


@main.command()
@state_dir_option
def audit(state_dir: Path | None) -> None:
    """Print what is on this host and should not be. Exit code 0 when there is nothing."""
    layout = Layout.of(state_dir)
    cloud.require(layout)
    config = str(layout.config("host"))
    command = [sys.executable, "-m", "hostagent", "--config", config, "--audit"]
    done = subprocess.run(command, cwd=ROOT, timeout=AUDIT_TIMEOUT_S)
    sys.exit(done.returncode)


for command in administration_commands(state_dir_option):
    main.add_command(command)


if __name__ == "__main__":
    main(prog_name="pileus")
