"""How often what failed is tried again."""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Retries:
    """The pauses between tries. Limits of all kinds begin with these; each is at least 1."""

    backoff_ms: int = 1_000  # after the first failure; doubles
    backoff_most_ms: int = 30_000

    def __post_init__(self):
        wrong = [field.name for field in fields(self) if getattr(self, field.name) < 1]
        if wrong:
            raise ValueError(f"{', '.join(wrong)} must be at least 1")

    def backoff(self, failures: int) -> int:
        """The pause after so many failures in a row."""
        return min(self.backoff_ms << min(max(failures - 1, 0), 20), self.backoff_most_ms)
