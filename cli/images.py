"""Images put into the cloud: uploaded as a stream, then registered. For ``up`` and ``image``."""

from pathlib import Path

from cli import image_files
from cli.api import Api, Json
from cli.errors import CliError

DEMO_NAME = "pileus-demo"
FAKE_DISK_BYTES = 1024 * 1024


def import_file(
    api: Api,
    file: Path,
    name: str,
    declared: str | None = None,
    *,
    description: str = "",
    public: bool = False,
) -> Json:
    """Uploads a qcow2 or raw file and registers it; answers with the image.

    ``declared``: the file's format, where its content is not to say it (cli/image_files). Raises
    CliError before a byte is sent for what cannot become an image and for a name that is taken.
    """
    disk_format = image_files.disk_format(file, declared)
    if find(api, name):
        raise CliError(f"there is an image {name!r} already: choose another name by --name")
    image_files.check(file, disk_format)
    stored = api.upload("/v1/image-uploads", {"disk_format": disk_format}, file)
    return register(api, stored["image_location"], name, disk_format, description, public=public)


def register(
    api: Api, location: str, name: str, disk_format: str, description: str, *, public: bool
) -> Json:
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


def find(api: Api, name: str) -> list[Json]:
    """The operator's images of this name."""
    fields = {"owners": "self", "filters.1.name": "name", "filters.1.values": name}
    found = api.call("GET", "/v1/images", fields)["images"]
    return [image for image in found if image["name"] == name]  # * and ? in it match others


def find_demo(api: Api) -> Json | None:
    """The operator's demo image that can be launched, if it is there."""
    for image in find(api, DEMO_NAME):
        if image["state"] == "available":
            return image
    return None


def make_blank(path: Path) -> None:
    """A disk for guests that are not there: an empty one with a partition table's mark."""
    with path.open("wb") as disk:
        disk.truncate(FAKE_DISK_BYTES)
        disk.seek(510)
        disk.write(b"\x55\xaa")
