"""Derived keys.

Cached and bounded, forgotten when revoked, disbelieved when the controller is away.
"""

import pytest

from gateway.signatures import SigningKeys
from protos.errors import CloudError, Kind
from protos.rpc import Caller
from tests.unit.gateway.world import KEY_ID, Keys, Service

AWAY = CloudError(Kind.UNAVAILABLE, "away")


class Clock:
    time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def parts():
    controller, identity, clock = Keys(), Service("Identity"), Clock()
    identity.answers.update(GetSigningKey=controller.get, ListKeyChanges=controller.changes)
    keys = SigningKeys(identity, clock, max_keys=3)
    keys.poll()
    return controller, identity, clock, keys


def get(keys, date="20260131"):
    return keys.get(KEY_ID, date, "us-east-1", "ec2", Caller())


def fetched(identity):
    return len([each for each in identity.calls if each.method == "GetSigningKey"])


def test_a_key_is_fetched_once(parts):
    _, identity, _, keys = parts
    assert get(keys) == get(keys)
    assert fetched(identity) == 1


def test_the_cache_is_bounded_and_the_oldest_go(parts):
    _, identity, _, keys = parts
    for day in range(1, 6):
        get(keys, f"2026013{day}")
    get(keys, "20260135")
    assert fetched(identity) == 5
    get(keys, "20260131")
    assert fetched(identity) == 6


def test_a_revoked_key_goes_with_the_next_poll(parts):
    controller, _, _, keys = parts
    get(keys)
    controller.revoke(KEY_ID)
    keys.poll()
    with pytest.raises(CloudError) as refusal:
        get(keys)
    assert refusal.value.kind is Kind.NOT_FOUND


def test_when_all_is_to_be_forgotten_all_is(parts):
    _, identity, _, keys = parts
    from protos.cloud.v1 import identity_pb2

    get(keys)
    identity.answers["ListKeyChanges"] = identity_pb2.ListKeyChangesResponse(
        sequence=7, everything=True
    )
    keys.poll()
    identity.answers["GetSigningKey"] = identity_pb2.SigningKey(key=b"new", change_sequence=7)
    assert get(keys).key == b"new"


def test_without_news_of_the_controller_nothing_cached_is_believed(parts):
    _, identity, clock, keys = parts
    get(keys)
    clock.time += 5
    assert keys.fresh
    get(keys)
    assert fetched(identity) == 1
    clock.time += 0.1
    assert not keys.fresh
    get(keys)
    assert fetched(identity) == 2
    identity.answers["GetSigningKey"] = AWAY
    with pytest.raises(CloudError) as refusal:
        get(keys)
    assert refusal.value.kind is Kind.UNAVAILABLE


def test_a_failed_poll_is_no_news(parts):
    _, identity, clock, keys = parts
    identity.answers["ListKeyChanges"] = AWAY
    clock.time += 6
    with pytest.raises(CloudError):
        keys.poll()
    assert not keys.fresh


def test_a_poll_counts_from_when_it_was_asked(parts):
    controller, identity, clock, keys = parts

    def slow(request, caller):
        clock.time += 4
        return controller.changes(request, caller)

    identity.answers["ListKeyChanges"] = slow
    keys.poll()
    clock.time += 2
    assert not keys.fresh


def test_a_key_derived_before_a_change_that_we_know_of_is_not_kept(parts):
    """GetSigningKey's answer overtaken by the poll that tells of the key's revocation."""
    controller, identity, _, keys = parts

    def overtaken(request, caller):
        key = controller.get(request, caller)
        controller.revoke(KEY_ID)
        keys.poll()
        return key

    identity.answers["GetSigningKey"] = overtaken
    get(keys)  # in flight when the key was revoked
    identity.answers["GetSigningKey"] = controller.get
    with pytest.raises(CloudError):
        get(keys)
