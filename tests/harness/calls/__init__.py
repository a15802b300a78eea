"""What customers ask for, a file for each noun: each action draws one call, or None where it makes
no sense.

    NOUNS       of each noun its actions with their weights; ``Workload`` chooses by them
    action(draw, customer) -> Call | None
"""

from tests.harness.calls import (
    account,
    addresses,
    groups,
    images,
    instances,
    interfaces,
    networks,
    reading,
    snapshots,
    volumes,
)

NOUNS = (
    instances.ACTIONS,
    groups.ACTIONS,
    addresses.ACTIONS,
    account.ACTIONS,
    volumes.ACTIONS,
    snapshots.ACTIONS,
    images.ACTIONS,
    networks.ACTIONS,
    interfaces.ACTIONS,
    reading.ACTIONS,
)
