"""How long each phase of an instance's life on this host may take, and how often things are tried.

Read from the config's ``[limits]``, with what the districts below begin it with; passed to the
workers. Milliseconds, as their names say.
"""

from msgspec import field

from hostagent.storage.limits import StorageLimits
from protos.config import Positive


class Limits(StorageLimits, frozen=True):
    """All of ``[limits]``."""

    shutdown_ms: Positive = 60_000  # from asking a guest to shut down to taking its power away
    reboot_ms: Positive = 60_000  # from asking a guest to reboot to resetting it
    ask_again_ms: Positive = 10_000  # a guest that was still booting did not hear the first time
    bring_up_ms: Positive = 1_800_000  # all tries of one start, image fetch included
    attempts: Positive = 8  # tries of one bring-up before it has failed
    crashes: Positive = 5  # restarts by itself before it has failed
    calm_ms: Positive = 600_000  # after so long without a crash all is forgiven
    # From a guest's start to its first answer: or its status check has failed. The key is older.
    status_check_ms: Positive = field(name="reach_ms", default=300_000)
    detach_ms: Positive = 60_000  # from asking a guest to let go of a device to: it is busy
    force_ms: Positive = 10_000  # the same, where the guest's opinion was not asked for
    device_attempts: Positive = 4  # tries of attaching, growing, limiting one before it is said
    served_attempts: Positive = 15  # the same, of a disk that another host serves: five minutes
    poll_ms: Positive = 2_000  # while the guest was asked for something; events come sooner
    audit_ms: Positive = 60_000  # how often a running guest and a VPC are looked at unasked
