"""What the drivers raise, whatever they drive: what cannot be made true, and what is not yet.

A ``DriverError`` has a message that an operator understands; ``transient`` says whether trying
again can help without anything else changing.
"""


class DriverError(Exception):
    """Something on the host could not be made true."""

    def __init__(self, message: str, *, transient: bool = True, because: object = None):
        super().__init__(message)
        self.transient, self.because = transient, because


class NotYet(Exception):
    """What was asked for is being made in the background. Look again when told by ``watch``, or
    after ``retry_ms``. ``progress`` is for an operator's eyes ("fetching ami-1: 40 of 100 MiB").
    """

    def __init__(self, progress: str, *, retry_ms: int = 1000):
        super().__init__(progress)
        self.progress, self.retry_ms = progress, retry_ms


class Unavailable(NotYet):
    """What does the work (libvirtd, say) is away, and is expected back. Nothing was tried: it is no
    failure of what was asked for, and the time that it takes is not counted either.
    """
