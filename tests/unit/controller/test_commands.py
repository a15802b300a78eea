"""``python -m controller``: init, join-token, migrate, rotate-master-key; all may be repeated."""

import json

import pytest
from click.testing import CliRunner

from controller.__main__ import main
from controller.kernel.sqlite import open_sqlite
from controller.tables.identity import Account
from controller.tables.migrations import NEWEST
from tests.harness import pki


@pytest.fixture
def run(tmp_path):
    pki.Authority.make(tmp_path / "pki")
    config = tmp_path / "controller.toml"
    config.write_text(
        f"""
        state_dir = "{tmp_path}/controller"
        master_key_file = "{tmp_path}/master.key"
        [tls]
        ca = "{tmp_path}/pki/ca.crt"
        ca_key = "{tmp_path}/pki/ca.key"
        certificate = "{tmp_path}/pki/ca.crt"
        key = "{tmp_path}/pki/ca.key"
        """
    )

    def invoke(*arguments):
        result = CliRunner().invoke(main, ["--config", str(config), *arguments])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.output.strip()

    return invoke


def accounts(tmp_path) -> int:
    with open_sqlite(tmp_path / "controller" / "pileus.db").read() as session:
        return len(session.rows(Account.select()))


def test_init_makes_an_operator_once_and_its_file_whole(run, tmp_path):
    path = tmp_path / "operator.json"
    run("init", "--credentials-file", str(path))
    made = json.loads(path.read_text())
    assert set(made) == {"account_id", "access_key_id", "secret_access_key"}
    assert path.stat().st_mode & 0o777 == 0o600
    run("init", "--credentials-file", str(path))
    assert json.loads(path.read_text()) == made
    path.unlink()  # as after a power failure between the database and the file
    run("init", "--credentials-file", str(path))
    again = json.loads(path.read_text())
    assert again["account_id"] == made["account_id"]
    assert again["access_key_id"] != made["access_key_id"]
    assert accounts(tmp_path) == 1


def test_a_join_token_is_one_line(run, tmp_path):
    run("init", "--credentials-file", str(tmp_path / "operator.json"))
    token = run("join-token", "--host-name", "rack-1", "--zone", "us-east-1a")
    assert token.startswith("pileus-join:") and "\n" not in token


def test_migrate_says_what_it_did(run):
    assert run("migrate") == "applied: " + ", ".join(map(str, range(1, NEWEST + 1)))
    assert run("migrate") == "applied: nothing was missing"


def test_a_new_master_key_seals_everything_again(run, tmp_path):
    run("init", "--credentials-file", str(tmp_path / "operator.json"))
    with (tmp_path / "master.key").open("a") as file:
        file.write("2:" + "B" * 43 + "=\n")
    assert run("rotate-master-key") == "1 secrets sealed again"
    assert run("rotate-master-key") == "0 secrets sealed again"
