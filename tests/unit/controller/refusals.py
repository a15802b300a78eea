"""How a test says which CloudError it expects."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from protos.errors import CloudError, Kind


@contextmanager
def refused(
    kind: Kind, noun: str | None = None, reason: str | None = None
) -> Iterator[pytest.ExceptionInfo[CloudError]]:
    """Expects a CloudError of exactly this kind, noun and reason."""
    with pytest.raises(CloudError) as caught:
        yield caught
    error = caught.value
    assert error.kind is kind, error
    assert noun in (None, error.noun), error
    assert reason in (None, error.reason), error


def error_of(act: Callable, *arguments, **more) -> CloudError:
    """The error that a call ends in."""
    with pytest.raises(CloudError) as caught:
        act(*arguments, **more)
    return caught.value
