"""Which device names are those of one disk; tests/api/test_device_names asks it of the calls."""

import pytest

from controller.storage.devices import canonical_name, is_beside_root, is_device_name


@pytest.mark.parametrize(
    ("letters", "names"),
    [
        ("a", ["/dev/sda1", "sda1", "/dev/sda", "/dev/xvda", "xvda", "/dev/vda", "/dev/hda"]),
        ("b", ["/dev/sdb", "sdb", "/dev/xvdb", "xvdb", "/dev/vdb", "vdb", "/dev/hdb"]),
        ("ba", ["/dev/xvdba", "xvdba"]),
    ],
)
def test_all_names_of_one_disk_are_one(letters, names):
    assert all(is_device_name(name) for name in names)
    assert {canonical_name(name) for name in names} == {letters}


@pytest.mark.parametrize(
    "name", ["/dev/sdf1", "/dev/xvda1", "/dev/sda2", "/dev/sdaa", "f", "sd", ""]
)
def test_partitions_and_others_are_no_names_of_disks(name):
    assert not is_device_name(name)


@pytest.mark.parametrize(
    ("device", "root", "refused"),
    [
        ("/dev/sda", "/dev/sda1", True),
        ("sda", "/dev/xvda", True),
        ("/dev/sda", "/dev/sda", False),
        ("/dev/sda", "/dev/sdb", False),
        ("/dev/xvda", "/dev/sda1", False),
    ],
)
def test_the_whole_disk_beside_a_root(device, root, refused):
    assert is_beside_root(device, root) is refused
