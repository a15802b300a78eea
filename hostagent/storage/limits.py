"""How often work on volumes is tried, and how often what serves them is looked at."""

from hostagent.kernel.retries import Retries
from protos.config import Positive


class StorageLimits(Retries, frozen=True):
    volume_attempts: Positive = 6  # tries of making or growing a volume before it has failed
    export_audit_ms: Positive = 5_000  # how often a served volume's server is looked at
