"""Accounts, keys, seals, signatures, and the guard before every rpc."""

import hashlib
import hmac
import random

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from google.protobuf.message_factory import GetMessageClass

from controller.identity.authorize import authorize
from controller.identity.guard import Guard
from controller.identity.permissions import permissions
from controller.identity.rules import KEYS_PER_ACCOUNT
from controller.identity.sealing import MasterKey, SealError, make_master_key, read_master_key
from controller.kernel.call import system_call
from controller.tables.identity import AccessKey
from protos import services
from protos.cloud.v1 import identity_pb2 as pb
from protos.errors import CloudError, Kind
from protos.rpc import Caller
from tests.unit.controller.cloud import Cloud

RNG = random.Random(1)
OPERATOR = Caller(account_id="000000000001", operator=True)


@pytest.fixture
def cloud(tmp_path):
    return Cloud(tmp_path)


@pytest.fixture
def identity(cloud):
    return cloud.client("Identity")


@pytest.fixture
def made(identity):
    return identity.CreateAccount(pb.CreateAccountRequest(name="carol"), caller=OPERATOR)


def refused(act, request, caller=OPERATOR) -> CloudError:
    with pytest.raises(CloudError) as caught:
        act(request, caller=caller)
    return caught.value


# --- accounts and keys ----------------------------------------------------------------------------


def test_an_account_comes_with_a_key_a_network_and_quotas(cloud, made):
    key = made.access_key
    assert len(made.account.account_id) == 12 and made.account.account_id.isdigit()
    assert key.access_key_id.startswith("AKIA") and len(key.access_key_id) == 20
    assert len(key.secret_access_key) == 40
    owner = Caller(account_id=made.account.account_id)
    assert cloud.instances.Run(cloud.request(), caller=owner).instances


def test_an_accounts_name_is_its_own(identity, made):
    refusal = refused(identity.CreateAccount, pb.CreateAccountRequest(name="carol"))
    assert (refusal.kind, refusal.noun) == (Kind.EXISTS, "account")
    for name in ("", "  ", "a\nb", "x" * 129):
        assert refused(identity.CreateAccount, pb.CreateAccountRequest(name=name)).kind is (
            Kind.INVALID
        )


def test_a_secret_is_shown_once_and_kept_sealed(cloud, identity, made):
    request = pb.AccountRequest(account_id=made.account.account_id)
    (listed,) = identity.ListAccessKeys(request, caller=OPERATOR).access_keys
    assert listed.secret_access_key == ""
    secret = made.access_key.secret_access_key.encode()
    cloud.db.close()
    content = b"".join(path.read_bytes() for path in cloud.config.state_dir.glob("pileus.db*"))
    assert made.access_key.access_key_id.encode() in content
    assert secret not in content


def test_keys_are_bounded(identity, made):
    request = pb.AccountRequest(account_id=made.account.account_id)
    for _ in range(KEYS_PER_ACCOUNT - 1):
        identity.CreateAccessKey(request, caller=OPERATOR)
    assert refused(identity.CreateAccessKey, request).kind is Kind.QUOTA


def test_accounts_are_paged(identity, made):
    accounts = identity.ListAccounts(pb.ListAccountsRequest(), caller=OPERATOR).accounts
    assert [one.name for one in accounts if one.account_id == made.account.account_id] == ["carol"]
    assert len(accounts) == 3


def test_the_operators_account_is_made_once(cloud):
    first = cloud.app.operator_key(system_call(1))
    assert first is not None
    assert cloud.app.operator_key(system_call(2)) is None


# --- signatures -----------------------------------------------------------------------------------


def signing_key(identity, key, **more):
    wanted = {"access_key_id": key.access_key_id, "date": "20260131", "region": "us-east-1"}
    request = pb.GetSigningKeyRequest(**({**wanted, "service": "ec2"} | more))
    return identity.GetSigningKey(request)


def test_the_signing_key_is_the_one_that_botocore_signs_with(identity, made):
    key = made.access_key
    answer = signing_key(identity, key)
    request = AWSRequest("POST", "https://ec2.us-east-1.amazonaws.com/", data="Action=X")
    request.context["timestamp"] = "20260131T120000Z"
    credentials = Credentials(key.access_key_id, key.secret_access_key)
    theirs = SigV4Auth(credentials, "ec2", "us-east-1").signature("string to sign", request)
    ours = hmac.new(answer.key, b"string to sign", hashlib.sha256).hexdigest()
    assert ours == theirs
    principal = answer.principal
    assert principal.account_id == made.account.account_id
    assert principal.arn == f"arn:aws:iam::{principal.account_id}:root"
    assert not principal.operator


def test_a_signing_key_is_for_one_day_region_and_service(identity, made):
    keys = [
        signing_key(identity, made.access_key, **more).key
        for more in ({}, {"date": "20260201"}, {"region": "eu-west-1"}, {"service": "sts"})
    ]
    assert len(set(keys)) == len(keys)
    with pytest.raises(CloudError, match="YYYYMMDD"):
        signing_key(identity, made.access_key, date="today")


def test_a_key_stops_working_and_the_gateways_hear_of_it(identity, made):
    key_id = made.access_key.access_key_id
    before = signing_key(identity, made.access_key).change_sequence

    def changes(after):
        answer = identity.ListKeyChanges(pb.ListKeyChangesRequest(after_sequence=after))
        return answer.sequence, list(answer.access_key_ids), answer.everything

    assert changes(before) == (before, [], False)
    status = pb.SetAccessKeyStatusRequest(access_key_id=key_id, status="Inactive")
    identity.SetAccessKeyStatus(status, caller=OPERATOR)
    assert changes(before) == (before + 1, [key_id], False)
    with pytest.raises(CloudError) as caught:
        signing_key(identity, made.access_key)
    assert (caught.value.kind, caught.value.noun) == (Kind.NOT_FOUND, "access-key")
    status.status = "Active"
    identity.SetAccessKeyStatus(status, caller=OPERATOR)
    assert signing_key(identity, made.access_key).change_sequence == before + 2
    identity.DeleteAccessKey(pb.AccessKeyRequest(access_key_id=key_id), caller=OPERATOR)
    assert changes(before + 2) == (before + 3, [key_id], False)
    assert changes(before + 99) == (before + 3, [], True), "a database restored: forget all"


def test_forgotten_changes_mean_forget_everything(cloud, identity, made):
    key_id = made.access_key.access_key_id
    for status in ("Inactive", "Active", "Inactive"):
        request = pb.SetAccessKeyStatusRequest(access_key_id=key_id, status=status)
        identity.SetAccessKeyStatus(request, caller=OPERATOR)
    cloud.tasks(later_ms=25 * 3_600_000)
    assert identity.ListKeyChanges(pb.ListKeyChangesRequest(after_sequence=0)).everything
    assert not identity.ListKeyChanges(pb.ListKeyChangesRequest(after_sequence=3)).everything


@pytest.mark.parametrize("algorithm", ["HmacSHA1", "HmacSHA256"])
def test_sigv2_is_verified_where_the_secret_is(identity, made, algorithm):
    key, text = made.access_key, b"GET\nhost\n/\nAction=X"
    digest = {"HmacSHA1": hashlib.sha1, "HmacSHA256": hashlib.sha256}[algorithm]
    good = hmac.new(key.secret_access_key.encode(), text, digest).digest()

    def verify(**more):
        fields = {
            "access_key_id": key.access_key_id,
            "algorithm": algorithm,
            "string_to_sign": text,
            "signature": good,
        }
        return identity.VerifySigV2(pb.VerifySigV2Request(**(fields | more)))

    assert verify().account_id == made.account.account_id
    for wrong, kind in (
        ({"signature": good[:-1] + b"?"}, Kind.UNAUTHENTICATED),
        ({"string_to_sign": text + b"&"}, Kind.UNAUTHENTICATED),
        ({"access_key_id": "AKIANOBODY"}, Kind.NOT_FOUND),
        ({"algorithm": "HmacMD5"}, Kind.INVALID),
    ):
        with pytest.raises(CloudError) as caught:
            verify(**wrong)
        assert caught.value.kind is kind


# --- seals ----------------------------------------------------------------------------------------


def test_a_sealed_secret_opens_for_its_owner_only():
    master = MasterKey({1: b"k" * 32}, RNG)
    sealed = master.seal("secret", "AKIA1")
    assert master.open(sealed, "AKIA1") == "secret"
    tampered = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for wrong, owner in ((sealed, "AKIA2"), (tampered, "AKIA1"), (b"\x09" + sealed[1:], "AKIA1")):
        with pytest.raises(SealError):
            master.open(wrong, owner)
    assert master.seal("secret", "AKIA1") != sealed, "a nonce is used once"


def test_master_keys_rotate(cloud, made, tmp_path):
    old = MasterKey({1: bytes(32)}, RNG)
    both = MasterKey({1: bytes(32), 2: b"n" * 32}, RNG)
    new = MasterKey({2: b"n" * 32}, RNG)
    cloud.master_key = both
    cloud.rebuild()
    assert signing_key(cloud.client("Identity"), made.access_key)
    assert cloud.app.identity.seal_again(system_call(1)) == 3
    assert cloud.app.identity.seal_again(system_call(1)) == 0
    with cloud.db.read() as session:
        for row in session.rows(AccessKey.select()):
            assert new.open(row.sealed_secret, row.access_key_id)
            with pytest.raises(SealError):
                old.open(row.sealed_secret, row.access_key_id)


def test_a_master_key_file(tmp_path):
    path = tmp_path / "master.key"
    make_master_key(path, RNG)
    assert path.stat().st_mode & 0o777 == 0o600
    sealed = read_master_key(path, RNG).seal("s", "o")
    assert read_master_key(path, RNG).open(sealed, "o") == "s"
    with pytest.raises(FileExistsError):
        make_master_key(path, RNG)
    path.write_bytes(b"r" * 32)
    assert read_master_key(path, RNG).seal("s", "o")
    for wrong in (b"short", b"1:!!!", b"x:" + b"A" * 44, b""):
        path.write_bytes(wrong)
        with pytest.raises(SealError):
            read_master_key(path, RNG)
    with pytest.raises(SealError, match="cannot be read"):
        read_master_key(tmp_path / "none", RNG)


# --- the guard ------------------------------------------------------------------------------------

ALL = permissions()
REQUESTS = {
    services.full_name(method): GetMessageClass(method.input_type)
    for service in services.SERVICES
    for method in service.methods
}
GUARD = Guard(authorize, "us-east-1")
PEERS = ("gateway", "host:h-1", "controller", "stranger", "")
USER = Caller(account_id="000000000002")


def allowed(method, peer, caller) -> bool:
    try:
        GUARD(method, REQUESTS.get(method, pb.Account)(), peer, caller)
    except CloudError as refusal:
        assert refusal.kind is Kind.DENIED
        return False
    return True


@pytest.mark.parametrize("method", sorted(ALL))
def test_every_rpc_is_guarded_as_it_says(method):
    permission = ALL[method]
    for peer in PEERS:
        for caller in (Caller(), USER, OPERATOR):
            if permission.action:
                expected = peer == "gateway" and bool(caller.account_id)
                operators = permission.action.startswith("pileus:")
                expected = expected and (caller.operator or not operators)
            elif permission.peer == "gateway":
                expected = peer == "gateway"
            elif permission.peer == "host":
                expected = peer == "host:h-1"
            else:
                expected = permission.peer == "anyone with a token"
            assert allowed(method, peer, caller) is expected, (peer, caller)


def test_what_is_not_declared_is_refused():
    for method in ("/pileus.cloud.v1.Instances/Steal", "", "//Run"):
        assert not allowed(method, "gateway", OPERATOR)
