"""What the services make is their owner's: under systemd, under the supervisor, in old folders."""

import configparser
from pathlib import Path

import pytest

from cli import services
from cli.layout import Layout
from protos import private_files

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "deploy").glob("*.service"))


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_units_begin_with_the_umask(unit):
    read = configparser.RawConfigParser(strict=False)
    read.read(unit)
    assert read["Service"]["UMask"] == "0077"


def test_so_does_the_supervisor(tmp_path):
    layout = Layout.of(tmp_path / "state", tmp_path / "cache")
    layout.root.mkdir()
    layout.make()
    services.write_configuration(layout, [])
    read = configparser.RawConfigParser()
    read.read(layout.run / "supervisord.conf")
    assert read["supervisord"]["umask"] == "077"


def test_a_folder_that_was_open_is_closed(tmp_path):
    tmp_path.joinpath("there").mkdir(mode=0o755)
    for name in ("there", "new"):
        private_files.make_folder(tmp_path / name)
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o700
