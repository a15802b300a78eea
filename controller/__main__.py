"""The controller's commands.

    python -m controller --config FILE [COMMAND]

    (none)                           serves
    init --credentials-file PATH     makes the database, the operator's account and its access key
    join-token --host-name N         prints a one-time token with which a host joins
    migrate                          brings the database up to date
    rotate-master-key                seals all secrets with the newest key of the master key file

All may be repeated. ``init`` makes a master key where there is none. Exit code 2 and a sentence for
what is wrong with the configuration.
"""

import json
import logging
import random
import sys
from pathlib import Path

import click

from controller import server
from controller.compute.scheduling.place import UnknownName
from controller.config import Config, load
from controller.identity.rules import NewKey
from controller.identity.sealing import SealError, make_master_key
from controller.kernel.call import ITSELF, system_call
from controller.kernel.database import Database
from controller.kernel.sqlite import open_sqlite
from controller.tables.identity import Account
from controller.tables.migrations import NewerDatabase, migrate
from protos import private_files
from protos.config import ConfigError
from protos.errors import CloudError
from protos.files import write_whole


@click.group(invoke_without_command=True)
@click.option("--config", "path", required=True, type=click.Path(path_type=Path), help="TOML file")
@click.pass_context
def main(context: click.Context, path: Path) -> None:
    """The controller of a Pileus cloud. Without a command it serves."""
    private_files.begin()
    context.obj = load(path)
    logging.basicConfig(
        level=context.obj.log_level,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    if context.invoked_subcommand is None:
        server.run(context.obj)


@main.command()
@click.option("--credentials-file", required=True, type=click.Path(path_type=Path))
@click.pass_obj
def init(config: Config, credentials_file: Path) -> None:
    """Makes what a cloud begins with. The file gets the operator's account_id, access_key_id and
    secret_access_key."""
    if not config.master_key_file.exists():
        make_master_key(config.master_key_file, random.SystemRandom())
    db = server.open_database(config)
    app = server.build_app(config, db)
    if credentials_file.exists():
        return
    call = system_call(server.now_ms())
    key = app.operator_key(call) or app.identity.create_key(call, _operator_account(db))
    _write_credentials(credentials_file, key)


@main.command("join-token")
@click.option("--host-name", required=True)
@click.option("--zone", default="", help="its availability zone; the region's first by default")
@click.option("--valid-s", default=0, help="seconds; an hour by default")
@click.pass_obj
def join_token(config: Config, host_name: str, zone: str, valid_s: int) -> None:
    """Prints a token with which one host of that name can join, once."""
    app = server.build_app(config, server.open_database(config))
    call = system_call(server.now_ms())
    click.echo(app.enrolment.create_token(call, host_name, zone, valid_s).text)


@main.command("migrate")
@click.pass_obj
def migrate_command(config: Config) -> None:
    """Brings the database up to date and says what was done."""
    config.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    applied = migrate(open_sqlite(config.database), server.now_ms())
    click.echo(f"applied: {', '.join(map(str, applied)) or 'nothing was missing'}")


@main.command("rotate-master-key")
@click.pass_obj
def rotate_master_key(config: Config) -> None:
    """Seals with the last key of the master key file what earlier ones sealed; those can then be
    removed."""
    app = server.build_app(config, server.open_database(config))
    count = app.identity.seal_again(system_call(server.now_ms()))
    click.echo(f"{count} secrets sealed again")


def _operator_account(db: Database) -> str:
    with db.read(ITSELF) as session:
        (found,) = session.column(Account.select(Account.account_id).where(Account.operator), str)
        return found


def _write_credentials(path: Path, key: NewKey) -> None:
    """Whole or not at all, and for its owner's eyes only."""
    content = {
        "account_id": key.account_id,
        "access_key_id": key.access_key_id,
        "secret_access_key": key.secret_access_key,
    }
    write_whole(path, json.dumps(content) + "\n")


if __name__ == "__main__":
    try:
        main()
    except (ConfigError, SealError, NewerDatabase, UnknownName, OSError) as mistake:
        click.echo(f"controller: {mistake}", err=True)
        sys.exit(2)
    except CloudError as refusal:
        click.echo(f"controller: {refusal.message}", err=True)
        sys.exit(1)
