"""What an observation says of a failure: one line, which names the image that was its cause."""

import pytest

from hostagent.compute.reasons import in_trouble
from hostagent.kernel.errors import DriverError
from protos.cloud.v1 import fleet_pb2

ROOT, DATA = "ab" * 32, "cd" * 32


def spec() -> fleet_pb2.InstanceSpec:
    """A root disk of the image's snapshot, and a disk of another."""
    made = fleet_pb2.InstanceSpec(metadata=fleet_pb2.InstanceMetadata(image_id="ami-1"))
    for image_id, digest in (("snap-1", ROOT), ("snap-2", DATA)):
        made.disks.add().image.MergeFrom(
            fleet_pb2.ImageSource(image_id=image_id, digest=f"sha256:{digest}")
        )
    return made


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("qemu-img: ended\nwith 1:\n  no space ", "qemu-img: ended with 1: no space"),
        (f"Could not open '/x/{ROOT}.raw'", f"image ami-1: Could not open '/x/{ROOT}.raw'"),
        (f"Could not open '/x/{DATA}.raw'", f"image snap-2: Could not open '/x/{DATA}.raw'"),
        ("image snap-1 (…): damaged", "image ami-1: image snap-1 (…): damaged"),
        ("image ami-1 is cut off", "image ami-1 is cut off"),
    ],
)
def test_one_line_that_names_the_image(words, said):
    seen = in_trouble(fleet_pb2.FAILED, DriverError(words), spec())
    assert (seen.code, seen.message) == ("Server.InternalError", said)
