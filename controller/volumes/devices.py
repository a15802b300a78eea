"""Device names as EC2 has them, and how many an instance can have. Pure.

Called by volumes/attachments, mappings and instances/launch_disks.
"""

import re

ATTACHED_MAX = 26  # volumes of one instance, its root disk among them
_NAME = re.compile(r"(/dev/)?(sd[a-z]([1-9]|1[0-5])?|xvd[a-z]{1,2}|vd[a-z]|hd[a-z])")


def is_device_name(device: str) -> bool:
    return _NAME.fullmatch(device) is not None


def bare_name(device: str) -> str:
    """EC2 takes a name with and without its folder."""
    return device.removeprefix("/dev/")
