"""How long each phase of an instance's life on this host may take, and how often things are tried.

Read from the config's ``[limits]``; passed to the workers. Milliseconds, as their names say.
"""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Limits:
    """How long each phase may take and how often things are tried. In config as ``[limits]``."""

    shutdown_ms: int = 60_000  # from asking a guest to shut down to taking its power away
    reboot_ms: int = 60_000  # from asking a guest to reboot to resetting it
    ask_again_ms: int = 10_000  # a guest that was still booting did not hear the first time
    bring_up_ms: int = 1_800_000  # all tries of one start, image fetch included
    attempts: int = 8  # tries of one bring-up before it has failed
    backoff_ms: int = 1_000  # after the first failure; doubles
    backoff_most_ms: int = 30_000
    crashes: int = 5  # restarts by itself before it has failed
    calm_ms: int = 600_000  # after so long without a crash all is forgiven
    reach_ms: int = 300_000  # from a guest's start to its first answer on its network: or impaired
    detach_ms: int = 60_000  # from asking a guest to let go of a device to saying that it is busy
    force_ms: int = 10_000  # the same, where the guest's opinion was not asked for
    device_attempts: int = 4  # tries of attaching, growing or limiting a device before it is said
    served_attempts: int = 15  # the same, of a disk that another host serves: about five minutes
    volume_attempts: int = 6  # tries of making or growing a volume before it has failed
    poll_ms: int = 2_000  # while the guest was asked for something; events come sooner
    export_audit_ms: int = 5_000  # how often a served volume's server is looked at
    audit_ms: int = 60_000  # how often a running guest and a VPC are looked at unasked

    def __post_init__(self):
        wrong = [field.name for field in fields(self) if getattr(self, field.name) < 1]
        if wrong:
            raise ValueError(f"{', '.join(wrong)} must be at least 1")

    def backoff(self, failures: int) -> int:
        """The pause after so many failures in a row."""
        return min(self.backoff_ms << min(max(failures - 1, 0), 20), self.backoff_most_ms)
