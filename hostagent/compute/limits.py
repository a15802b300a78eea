"""How long each phase of an instance's life on this host may take, and how often things are tried.

Read from the config's ``[limits]``, with what the districts below begin it with; passed to the
workers. Milliseconds, as their names say.
"""

from dataclasses import dataclass

from hostagent.storage.limits import StorageLimits


@dataclass(frozen=True)
class Limits(StorageLimits):
    """All of ``[limits]``."""

    shutdown_ms: int = 60_000  # from asking a guest to shut down to taking its power away
    reboot_ms: int = 60_000  # from asking a guest to reboot to resetting it
    ask_again_ms: int = 10_000  # a guest that was still booting did not hear the first time
    bring_up_ms: int = 1_800_000  # all tries of one start, image fetch included
    attempts: int = 8  # tries of one bring-up before it has failed
    crashes: int = 5  # restarts by itself before it has failed
    calm_ms: int = 600_000  # after so long without a crash all is forgiven
    reach_ms: int = 300_000  # from a guest's start to its first answer on its network: or impaired
    detach_ms: int = 60_000  # from asking a guest to let go of a device to saying that it is busy
    force_ms: int = 10_000  # the same, where the guest's opinion was not asked for
    device_attempts: int = 4  # tries of attaching, growing or limiting a device before it is said
    served_attempts: int = 15  # the same, of a disk that another host serves: about five minutes
    poll_ms: int = 2_000  # while the guest was asked for something; events come sooner
    audit_ms: int = 60_000  # how often a running guest and a VPC are looked at unasked
