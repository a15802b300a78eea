"""The operator's commands: accounts, access keys, quotas, hosts and images, by the JSON API.

Called by cli/__main__, which adds them to its group.
"""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import click

from cli import cloud, images, tables
from cli.api import Api, Json, own_account
from cli.errors import CliError
from cli.layout import Layout
from cli.status import HOSTS_HEAD, by_name, hosts_row
from cli.up import exports

MOST = 10**15  # of a quota; beyond it is a slip of the finger


def commands(state_dir_option: Callable[[click.Command], object]) -> list[click.Group]:
    """The groups of commands, each command with --state-dir."""
    groups = [account, key, quota, host, image]
    for group in groups:
        for command in group.commands.values():
            state_dir_option(command)
    return groups


account_option = click.option(
    "--account", help="The account's id or name; the operator's own unless said."
)


def _open(state_dir: Path | None) -> tuple[Layout, cloud.Cloud, Api]:
    layout = Layout.of(state_dir)
    chosen = cloud.require(layout)
    return layout, chosen, Api(layout, chosen)


@click.group()
def account() -> None:
    """Accounts: each has its own instances, networks, keys and quotas."""


@account.command("create")
@click.argument("name")
def create_account(name: str, state_dir: Path | None) -> None:
    """Make an account; print its exports. The secret is shown this once."""
    layout, chosen, api = _open(state_dir)
    made = api.call("POST", "/v1/accounts", {"name": name})
    click.echo(f"account {made['account']['account_id']} {name}", err=True)
    click.echo(exports(layout, chosen, made["access_key"]), nl=False)


@account.command("list")
def list_accounts(state_dir: Path | None) -> None:
    """List all accounts."""
    _, _, api = _open(state_dir)
    rows = [
        (one["account_id"], one["name"], "operator" if one["operator"] else "")
        for one in api.every("/v1/accounts", "accounts")
    ]
    tables.show(("ACCOUNT", "NAME", ""), rows)


@click.group()
def key() -> None:
    """Access keys of accounts."""


@key.command("create")
@account_option
def create_key(account: str | None, state_dir: Path | None) -> None:
    """Make one more access key; print its exports. The secret is shown this once."""
    layout, chosen, api = _open(state_dir)
    account_id = _account_id(layout, api, account)
    made = api.call("POST", f"/v1/accounts/{account_id}/access-keys", {})
    click.echo(exports(layout, chosen, made), nl=False)


@key.command("list")
@account_option
def list_keys(account: str | None, state_dir: Path | None) -> None:
    """List an account's access keys."""
    layout, _, api = _open(state_dir)
    answer = api.call("GET", f"/v1/accounts/{_account_id(layout, api, account)}/access-keys")
    rows = [(one["access_key_id"], one["status"]) for one in answer["access_keys"]]
    tables.show(("ACCESS KEY", "STATUS"), rows)


@key.command("activate")
@click.argument("access_key_id")
def activate_key(access_key_id: str, state_dir: Path | None) -> None:
    """Let a deactivated key work again."""
    _set_status(access_key_id, "Active", state_dir)


@key.command("deactivate")
@click.argument("access_key_id")
def deactivate_key(access_key_id: str, state_dir: Path | None) -> None:
    """Refuse a key from now on (within seconds)."""
    _set_status(access_key_id, "Inactive", state_dir)


@key.command("delete")
@click.argument("access_key_id")
def delete_key(access_key_id: str, state_dir: Path | None) -> None:
    """Delete a key."""
    _, _, api = _open(state_dir)
    api.call("DELETE", f"/v1/access-keys/{_quoted(access_key_id)}")


@click.group()
def quota() -> None:
    """What an account may have at most."""


@quota.command("list")
@account_option
def list_quotas(account: str | None, state_dir: Path | None) -> None:
    """List an account's quotas and what it has used of them."""
    layout, _, api = _open(state_dir)
    answer = api.call("GET", f"/v1/accounts/{_account_id(layout, api, account)}/quotas")
    rows = [(one["name"], _used(one), int(one["limit"])) for one in answer["quotas"]]
    tables.show(("QUOTA", "USED", "LIMIT"), rows)


def _used(quota: Json) -> int | str:
    """A bound on each group, VPC or table has no use of its own."""
    return "-" if "_per_" in quota["name"] else int(quota["used"])


@quota.command("set", context_settings={"ignore_unknown_options": True})  # -3 is a value
@account_option
@click.argument("name")
@click.argument("value", type=click.IntRange(min=0))
def set_quota(account: str | None, name: str, value: int, state_dir: Path | None) -> None:
    """Set one quota of an account; 0 forbids.

    `./pileus quota list` shows the names. Setting vpcs sets internet_gateways to the same, as in
    EC2. What all accounts have by default is in [quotas] of the state dir's extra/controller.toml.
    """
    layout, _, api = _open(state_dir)
    if value > MOST:
        raise CliError(f"a quota is at most {MOST}")
    path = f"/v1/accounts/{_account_id(layout, api, account)}/quotas/{_quoted(name)}"
    answer = api.call("PUT", path, {"limit": value})
    click.echo(f"{answer['name']}: {_used(answer)} of {answer['limit']}")


@click.group()
def host() -> None:
    """The servers that guests run on."""


@host.command("list")
def list_hosts(state_dir: Path | None) -> None:
    """List all hosts and what is used of them."""
    _, _, api = _open(state_dir)
    hosts = sorted(api.every("/v1/hosts", "hosts"), key=by_name)
    tables.show(HOSTS_HEAD, [hosts_row(one) for one in hosts])


@host.command("join-token")
@click.argument("name")
@click.option("--zone", help="The availability zone; this cloud's own unless said.")
@click.option(
    "--valid",
    type=click.IntRange(1, 30 * 24 * 3600),
    default=3600,
    show_default=True,
    help="Seconds until it is worthless.",
)
def join_token(name: str, zone: str | None, valid: int, state_dir: Path | None) -> None:
    """Print a one-time token with which one more server joins.

    It is the join_token of that server's hostagent; deploy/README.md says how one is run.
    """
    _, chosen, api = _open(state_dir)
    if chosen.loopback:
        click.echo(
            "pileus: this cloud listens on loopback only; another server reaches it after "
            "`./pileus up --listen ADDRESS`",
            err=True,
        )
    fields = {"host_name": name, "availability_zone": zone or chosen.zone, "valid_s": valid}
    made = api.call("POST", "/v1/join-tokens", fields)
    if any(host["name"] == name for host in api.every("/v1/hosts", "hosts")):
        click.echo(
            f"pileus: a host {name} has joined already: the server that uses this token takes its "
            "place; another server needs another name",
            err=True,
        )
    click.echo(made["token"])


@click.group()
def image() -> None:
    """Machine images."""


@image.command("list")
def list_images(state_dir: Path | None) -> None:
    """List the operator's images."""
    _, _, api = _open(state_dir)
    rows = [
        (
            one["image_id"],
            one["state"],
            "public" if one["public"] else "private",
            f"{int(one['size_bytes']) // 1024**2} MiB",
            one["name"],
        )
        for one in api.every("/v1/images", "images", {"owners": "self"})
    ]
    tables.show(("IMAGE", "STATE", "FOR", "SIZE", "NAME"), rows)


@image.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--name", help="The file's name unless said.")
@click.option(
    "--disk-format",
    type=click.Choice(["qcow2", "raw"]),
    help="What the file is; its content says it unless said.",
)
@click.option("--public", is_flag=True, help="For all accounts.")
def import_image(
    file: Path, name: str | None, disk_format: str | None, public: bool, state_dir: Path | None
) -> None:
    """Upload a qcow2 or raw disk and register it as an image.

    Other kinds of disks, and what is packed, are refused with what to do about it.
    """
    _, _, api = _open(state_dir)
    made = images.import_file(api, file, name or file.stem, disk_format, public=public)
    click.echo(f"{made['image_id']}  {made['state']}  {made['name']}")


@image.command("register")
@click.argument("url")
@click.option("--name", required=True)
@click.option("--disk-format", "--format", type=click.Choice(["qcow2", "raw"]), default="qcow2")
@click.option("--public", is_flag=True, help="For all accounts.")
def register_image(
    url: str, name: str, disk_format: str, public: bool, state_dir: Path | None
) -> None:
    """Register an image that the cloud fetches from an http(s) URL of an allowed source.

    Which are allowed is in [images] of the state dir's extra/controller.toml, as in
    sources = ["https://cloud.debian.org/images/"]; the next `up` reads it.
    """
    _, _, api = _open(state_dir)
    made = images.register(api, url, name, disk_format, "", public=public)
    click.echo(f"{made['image_id']}  {made['state']}  {made['name']}")


def _set_status(access_key_id: str, status: str, state_dir: Path | None) -> None:
    _, _, api = _open(state_dir)
    api.call("POST", f"/v1/access-keys/{_quoted(access_key_id)}:setStatus", {"status": status})


def _quoted(name: str) -> str:
    """As one piece of a path, whatever is in it."""
    return quote(name, safe="") or "-"


def _account_id(layout: Layout, api: Api, name_or_id: str | None) -> str:
    """The account that is meant. That it is the caller's own is said, since nobody has."""
    if name_or_id is None:
        own = own_account(layout)
        click.echo(f"account {own} (the operator's own; --account names another)", err=True)
        return own
    for one in api.every("/v1/accounts", "accounts"):
        if name_or_id in (one["account_id"], one["name"]):
            return str(one["account_id"])
    raise CliError(f"there is no account {name_or_id!r}; `./pileus account list` shows them")
