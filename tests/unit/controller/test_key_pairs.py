"""Key pairs: one name, one pair, whoever asks at once."""

import threading

import pytest

from controller.kernel.middleware import Middleware
from controller.tables.compute import KeyPair
from protos.cloud.v1 import keys_pb2 as pb
from protos.errors import CloudError, Kind
from protos.rpc import CallContext, Caller
from tests.unit.controller.refusals import refused
from tests.unit.controller.resource_world import ANN, BOB, World, filters, tag_specification
from tests.unit.controller.test_key_formats import ED25519_FORMS, ED25519_SHA256, RSA_FORMS


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def create(world, name="mine", account_id=ANN, dry_run=False, **fields):
    request = pb.CreateKeyPairRequest(**{"key_name": name, "key_type": "ed25519", **fields})
    return world.keys.Create(request, world.call(account_id, dry_run=dry_run))


def import_key(world, name="mine", material=ED25519_FORMS["line"], account_id=ANN, **fields):
    request = pb.ImportKeyPairRequest(key_name=name, public_key_material=material, **fields)
    return world.keys.Import(request, world.call(account_id))


def describe(world, account_id=ANN, **fields):
    return list(
        world.keys.Describe(pb.DescribeKeyPairsRequest(**fields), world.call(account_id)).key_pairs
    )


def test_a_created_pair_shows_its_private_key_once(world):
    made = create(world, tag_specifications=tag_specification("key-pair", a="b"))
    assert made.private_key.startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    made.ClearField("private_key")
    assert describe(world, include_public_key=True) == [made]
    made.ClearField("public_key")
    assert describe(world) == describe(world, key_names=["mine"]) == [made]
    with world.db.read() as session:
        stored = session.one(KeyPair.select())
    assert "PRIVATE" not in str(stored)


def test_kinds_and_formats(world):
    rsa = create(world, "rsa", key_type="")
    assert (rsa.key_type, rsa.private_key[:31]) == ("rsa", "-----BEGIN RSA PRIVATE KEY-----")
    assert len(rsa.fingerprint.split(":")) == 20
    ppk = create(world, "ppk", key_format="ppk")
    assert ppk.private_key.startswith("PuTTY-User-Key-File-2: ssh-ed25519")
    imported = import_key(world, "theirs", RSA_FORMS["rfc4716"])
    assert (imported.key_type, len(imported.fingerprint.split(":"))) == ("rsa", 16)
    assert imported.private_key == ""
    assert imported.public_key == " ".join([*RSA_FORMS["line"].decode().split()[:2], "theirs"])


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "n" * 256},
        {"name": "naïve"},
        {"name": " mine"},
        {"name": "tab\t"},
        {"key_type": "dsa"},
        {"key_format": "pkcs8"},
        {"tag_specifications": tag_specification("instance", a="b")},
    ],
)
def test_pairs_that_cannot_be(world, fields):
    with refused(Kind.INVALID):
        create(world, **fields)
    assert describe(world) == []


def test_what_is_no_key_cannot_be_imported(world):
    with refused(Kind.INVALID, "key-pair", "key-format"):
        import_key(world, material=b"ssh-rsa nonsense")


def test_a_name_is_one_pairs(world):
    create(world)
    with refused(Kind.EXISTS, "key-pair"):
        create(world)
    with refused(Kind.EXISTS, "key-pair"):
        import_key(world)
    create(world, account_id=BOB)
    create(world, "Mine")
    assert world.used("key_pairs") == 2


def test_deleting_is_by_name_or_id_and_never_an_error(world):
    first, second = create(world, "first"), create(world, "second")
    delete = world.keys.Delete
    request = pb.DeleteKeyPairRequest
    assert delete(request(key_name="first"), world.call()).key_pair_id == first.key_pair_id
    assert delete(request(key_name="first"), world.call()).key_pair_id == ""
    assert delete(request(key_pair_id=second.key_pair_id), world.call(BOB)).key_pair_id == ""
    assert delete(request(key_pair_id=second.key_pair_id), world.call()).key_pair_id
    assert (describe(world), world.used("key_pairs")) == ([], 0)
    with refused(Kind.INVALID):
        delete(request(), world.call())


def test_quota_and_dry_run(world):
    create(world, dry_run=True)
    assert describe(world) == []
    for number in range(4):
        create(world, str(number))
    with refused(Kind.QUOTA, "key-pair"):
        create(world)


def test_filters_and_what_is_not_there(world):
    made = import_key(world, tag_specifications=tag_specification("key-pair", team="a"))
    create(world, "other")
    for wanted in (
        {"key_name": "m*"},
        {"key_pair_id": made.key_pair_id},
        {"fingerprint": ED25519_SHA256 + "="},
        {"tag__team": "a"},
        {"tag_key": "team"},
    ):
        (found,) = describe(world, filters=filters(**wanted))
        assert found.key_pair_id == made.key_pair_id
    for asked in ({"key_names": ["nobody"]}, {"key_pair_ids": ["key-01234567"]}):
        with refused(Kind.NOT_FOUND, "key-pair"):
            describe(world, **asked)
    with refused(Kind.NOT_FOUND, "key-pair"):
        describe(world, BOB, key_names=["mine"])
    with refused(Kind.NOT_FOUND, "key-pair"):
        describe(world, key_pair_ids=["mine"])


def test_of_eight_callers_at_once_one_makes_the_pair(tmp_path):
    world = World(tmp_path, threads=True)
    service = Middleware(world.keys, lambda: world.now_ms)
    ready, outcomes = threading.Barrier(8), []

    def ask():
        ready.wait()
        context = CallContext("gateway", Caller(account_id=ANN))
        request = pb.CreateKeyPairRequest(key_name="raced", key_type="ed25519")
        try:
            outcomes.append(service.Create(request, context).key_name)
        except CloudError as refusal:
            outcomes.append(refusal.kind)
        finally:
            world.db.close()

    callers = [threading.Thread(target=ask) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert outcomes.count("raced") == 1
    assert outcomes.count(Kind.EXISTS) == 7
    assert world.used("key_pairs") == 1
