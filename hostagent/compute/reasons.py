"""Why an instance is as it is: what an observation says beside the state itself. Pure.

An observation carries EC2's code of a StateReason and the cause, one line without the code: the
controller writes the two as EC2 does ("Server.InternalError: …"). Called by the worker.
"""

from hostagent.compute.progress import Seen
from protos.cloud.v1 import fleet_pb2

SERVER_ERROR = "Server.InternalError"
GUEST_SHUTDOWN = Seen(
    fleet_pb2.EXITED, "Client.InstanceInitiatedShutdown", "Instance initiated shutdown"
)
PROCESS_ENDED = Seen(
    fleet_pb2.PREPARING, SERVER_ERROR, "the guest's process ended; it is started again"
)


def in_trouble(
    observed: fleet_pb2.Observed, failure: Exception, spec: fleet_pb2.InstanceSpec | None = None
) -> Seen:
    """An observation of something that did not succeed; with images called by their names where
    there is a ``spec``."""
    text = " ".join(str(failure).split())
    return Seen(observed, SERVER_ERROR, _with_image_names(text, spec) if spec else text)


def _with_image_names(text: str, spec: fleet_pb2.InstanceSpec) -> str:
    """Words about the file that a disk stands on, which is called by its digest, are given the name
    of its image: of the instance's for the root disk, which may stand on a snapshot."""
    for number, disk in enumerate(spec.disks):
        source = disk.image
        name = (spec.metadata.image_id if number == 0 else "") or source.image_id
        words = filter(None, (source.image_id, source.digest.removeprefix("sha256:")))
        if name not in text and any(word in text for word in words):
            text = f"image {name}: {text}"
    return text
