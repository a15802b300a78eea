"""How often work on volumes is tried, and how often what serves them is looked at."""

from dataclasses import dataclass

from hostagent.kernel.retries import Retries


@dataclass(frozen=True)
class StorageLimits(Retries):
    volume_attempts: int = 6  # tries of making or growing a volume before it has failed
    export_audit_ms: int = 5_000  # how often a served volume's server is looked at
