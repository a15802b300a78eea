"""Images put into the cloud: uploaded as a stream, then registered. For ``up`` and ``image``."""

from pathlib import Path

from cli.api import Api
from cli.errors import CliError

DEMO_NAME = "pileus-demo"
MAGIC = b"QFI\xfb"  # of qcow2
FAKE_DISK_BYTES = 1024 * 1024


def import_file(
    api: Api, file: Path, name: str, *, description: str = "", public: bool = False
) -> dict:
    """Uploads a qcow2 or raw file and registers it; answers with the image."""
    stored = api.upload("/v1/image-uploads", {"disk_format": disk_format(file)}, file)
    return register(
        api, stored["image_location"], name, disk_format(file), description, public=public
    )


def register(
    api: Api, location: str, name: str, disk_format: str, description: str, *, public: bool
) -> dict:
    return api.call(
        "POST",
        "/v1/images",
        {
            "name": name,
            "description": description,
            "image_location": location,
            "architecture": "x86_64",
            "root_device_name": "/dev/xvda",
            "disk_format": disk_format,
            "virtualization_type": "hvm",
            "ena_support": True,  # as every guest here is shown: the fast network card there is
            "public": public,
        },
    )


def disk_format(file: Path) -> str:
    """qcow2 by its first bytes, else raw: it is the user's own file, and nobody declared it."""
    try:
        with file.open("rb") as content:
            return "qcow2" if content.read(4) == MAGIC else "raw"
    except OSError as failure:
        raise CliError(f"{file} cannot be read: {failure}") from failure


def find_demo(api: Api) -> dict | None:
    """The operator's demo image that can be launched, if it is there."""
    fields = {"owners": "self", "filters.1.name": "name", "filters.1.values": DEMO_NAME}
    for image in api.call("GET", "/v1/images", fields)["images"]:
        if image["state"] == "available":
            return image
    return None


def make_blank(path: Path) -> None:
    """A disk for guests that are not there: an empty one with a partition table's mark."""
    with path.open("wb") as disk:
        disk.truncate(FAKE_DISK_BYTES)
        disk.seek(510)
        disk.write(b"\x55\xaa")
