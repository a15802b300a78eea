"""How often what failed is tried again."""

from protos.config import Positive, Section


class Retries(Section, frozen=True):
    """The pauses between tries. Limits of all kinds begin with these."""

    backoff_ms: Positive = 1_000  # after the first failure; doubles
    backoff_most_ms: Positive = 30_000

    def backoff(self, failures: int) -> int:
        """The pause after so many failures in a row."""
        return min(self.backoff_ms << min(max(failures - 1, 0), 20), self.backoff_most_ms)
