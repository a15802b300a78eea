"""Device names as EC2 has them, and how many volumes an instance can have. Pure.

Called by whatever compares, takes or looks up a device name: storage/mappings and
images/rules, compute/attachments/volumes, compute/instances/attributes, compute/launch/disks.

Several names mean one disk: "/dev/sdb", "sdb", "/dev/xvdb" and "/dev/vdb" are the second one, and a
root disk is "/dev/sda1" in some images and "/dev/xvda" in others. So names are compared by
``canonical_name`` only. What is shown is the name that was given (docs/decisions/0470).
"""

import re

ATTACHED_MAX = 26  # volumes of one instance, its root disk among them
# EC2 User Guide, "Device names for volumes": those of HVM instances, and vd? and hd?, as guests
# call such disks. A name with a number is a partition's, which EC2 refuses but for the root's.
_NAME = re.compile(r"(/dev/)?(sda1|(sd|vd|hd)[a-z]|xvd[a-z]{1,2})")
_FOLDER_AND_DRIVER = re.compile(r"(/dev/)?(xvd|sd|vd|hd)?")


def is_device_name(device: str) -> bool:
    return _NAME.fullmatch(device) is not None


def canonical_name(device: str) -> str:
    """The same text for all names of one disk: its letters, "a" for a root disk ("/dev/sda1")."""
    letters = _FOLDER_AND_DRIVER.sub("", device, count=1)
    return "a" if letters == "a1" else letters


def is_beside_root(device: str, root_device: str) -> bool:
    """Whether ``device`` is "/dev/sda" and the root disk is called otherwise: EC2 takes "/dev/sda1"
    and "/dev/xvda" as names of a root disk, and refuses this one."""
    bare, root = (name.removeprefix("/dev/") for name in (device, root_device))
    return bare == "sda" != root and canonical_name(root) == "a"
