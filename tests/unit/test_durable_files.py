"""Files that are read back: whole or not at all."""

import os
import stat

import pytest

from protos.files import unfinished, write_new, write_whole


@pytest.fixture
def path(tmp_path):
    return tmp_path / "kept.json"


def mode_of(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("write", [write_whole, write_new])
def test_content_has_its_name_and_nothing_else_is_left(path, write):
    write(path, "one")
    assert path.read_text() == "one" and mode_of(path) == 0o600
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_the_new_takes_the_place_of_the_old(path):
    before = os.umask(0o077)
    try:
        write_whole(path, b"one")
        write_whole(path, b"two", mode=0o644)
    finally:
        os.umask(before)
    assert path.read_bytes() == b"two" and mode_of(path) == 0o644


def test_what_a_cut_left_is_in_nobodys_way_nor_for_other_eyes(path):
    unfinished(path).write_text("half")
    unfinished(path).chmod(0o666)
    write_whole(path, "whole")
    assert path.read_text() == "whole" and mode_of(path) == 0o600


def test_what_is_there_stays(path):
    write_new(path, "first")
    with pytest.raises(FileExistsError):
        write_new(path, "second")
    assert path.read_text() == "first"
    assert [each.name for each in path.parent.iterdir()] == [path.name]
