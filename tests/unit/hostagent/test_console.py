"""A console's tail, over the parts that virtlogd leaves."""

from hostagent.compute.console import read_tail


def test_nothing_yet(tmp_path):
    assert read_tail(tmp_path, "i-1", 100) == (b"", 0)


def test_the_end_of_all_parts_in_order(tmp_path):
    (tmp_path / "i-1.log.1").write_bytes(b"oldest ")
    (tmp_path / "i-1.log.0").write_bytes(b"older ")
    (tmp_path / "i-1.log").write_bytes(b"new")
    (tmp_path / "i-12.log").write_bytes(b"another's")
    assert read_tail(tmp_path, "i-1", 100)[0] == b"oldest older new"
    assert read_tail(tmp_path, "i-1", 5)[0] == b"r new"
    assert read_tail(tmp_path, "i-1", 2)[0] == b"ew"
    assert read_tail(tmp_path, "i-1", 0)[0] == b""
