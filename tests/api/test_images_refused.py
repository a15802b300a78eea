"""Image files that no guest could start from are refused, with the reason in one line."""

import hashlib

import pytest
from botocore.exceptions import ClientError

from tests.unit.qcow2_corpus import HOSTILE, OWN, disk

REFUSED = {
    "qcow2": [
        "internal snapshots",
        "a cut file",
        "data that was cut off",
        "refcounts of zero",
        "refcounts beyond the file",
        "an L1 table beyond the file",
        "an L2 table beyond the file",
        "an L2 table that is the L1 table",
    ],
    "raw": [b"", bytes(513), b"\x1f\x8b\x08".ljust(512, b"\0"), b"<!DOCTYPE html>".ljust(512)],
}


@pytest.mark.parametrize(
    ("disk_format", "what"), [(kind, what) for kind in REFUSED for what in REFUSED[kind]]
)
def test_a_file_that_no_guest_could_start_from_becomes_no_image(account, disk_format, what):
    content = HOSTILE[what][0].build() if disk_format == "qcow2" else what
    answer = upload(account, disk_format, content)
    assert answer.status == 400
    message = answer.json()["error"]["message"]
    assert message.startswith("The image cannot be used: it")
    assert "\n" not in message
    location = "upload:" + hashlib.sha256(content).hexdigest()
    with pytest.raises(ClientError, match="Nothing was uploaded"):
        account.ec2.register_image(Name="broken", ImageLocation=location)


def test_a_sound_one_becomes_an_image(account):
    location = upload(account, "qcow2", disk(OWN | 5 << 16).build()).json()["image_location"]
    image_id = account.ec2.register_image(Name="sound", ImageLocation=location)["ImageId"]
    (image,) = account.ec2.describe_images(ImageIds=[image_id])["Images"]
    assert image["State"] == "available"


def upload(account, disk_format: str, content: bytes):
    headers = {"Content-Type": "application/octet-stream"}
    path = f"/v1/image-uploads?disk_format={disk_format}"
    return account.send("POST", path, content, headers, service="pileus")
