"""The Identity service: accounts, access keys, and what the gateway asks to verify signatures."""

from typing import NamedTuple

from controller.identity import rules
from controller.kernel.call import Call, Principal
from controller.kernel.database import Database
from controller.kernel.filters import page_of
from controller.kernel.rows import columns
from controller.tables.identity import AccessKey, Account
from controller.tables.identity import Principal as PrincipalRow
from protos.cloud.v1 import common_pb2, identity_pb2
from protos.errors import CloudError, Kind


class AccountRow(NamedTuple):
    account_id: str
    name: str
    operator: bool
    created_ms: int


class KeyRow(NamedTuple):
    access_key_id: str
    status: str
    created_ms: int


class IdentityServicer:
    def __init__(self, db: Database, identity: rules.Identity):
        self._db, self._identity = db, identity

    def CreateAccount(
        self, request: identity_pb2.CreateAccountRequest, call: Call
    ) -> identity_pb2.CreateAccountResponse:
        account_id, key = self._identity.create_account(call, request.name)
        return identity_pb2.CreateAccountResponse(
            account=identity_pb2.Account(
                account_id=account_id, name=request.name, create_time_ms=call.now_ms
            ),
            access_key=_new_key(key),
        )

    def ListAccounts(
        self, request: identity_pb2.ListAccountsRequest, call: Call
    ) -> identity_pb2.ListAccountsResponse:
        page = page_of(request.page)
        query = Account.select(*columns(AccountRow, Account))
        with self._db.read(call) as session:
            rows = session.rows(page.of(query, Account.account_id), AccountRow)
        rows, next_token = page.cut(rows, lambda row: row.account_id)
        accounts = [
            identity_pb2.Account(
                account_id=row.account_id,
                name=row.name,
                operator=row.operator,
                create_time_ms=row.created_ms,
            )
            for row in rows
        ]
        return identity_pb2.ListAccountsResponse(accounts=accounts, next_token=next_token)

    def CreateAccessKey(
        self, request: identity_pb2.AccountRequest, call: Call
    ) -> identity_pb2.AccessKey:
        return _new_key(self._identity.create_key(call, request.account_id))

    def ListAccessKeys(
        self, request: identity_pb2.AccountRequest, call: Call
    ) -> identity_pb2.ListAccessKeysResponse:
        with self._db.read(call) as session:
            is_it = Account.account_id == request.account_id
            if not session.exists(Account.select(Account.name).where(is_it)):
                raise rules.no_account(request.account_id)
            rows = session.rows(
                AccessKey.select(*columns(KeyRow, AccessKey))
                .join(PrincipalRow, on=PrincipalRow.principal_id == AccessKey.principal_id)
                .where(PrincipalRow.account_id == request.account_id)
                .order_by(AccessKey.access_key_id),
                KeyRow,
            )
        keys = [
            identity_pb2.AccessKey(
                access_key_id=row.access_key_id,
                account_id=request.account_id,
                status=row.status,
                create_time_ms=row.created_ms,
            )
            for row in rows
        ]
        return identity_pb2.ListAccessKeysResponse(access_keys=keys)

    def SetAccessKeyStatus(
        self, request: identity_pb2.SetAccessKeyStatusRequest, call: Call
    ) -> common_pb2.Empty:
        self._identity.set_status(call, request.access_key_id, request.status)
        return common_pb2.Empty()

    def DeleteAccessKey(
        self, request: identity_pb2.AccessKeyRequest, call: Call
    ) -> common_pb2.Empty:
        self._identity.delete_key(call, request.access_key_id)
        return common_pb2.Empty()

    def GetSigningKey(
        self, request: identity_pb2.GetSigningKeyRequest, call: Call
    ) -> identity_pb2.SigningKey:
        if not (len(request.date) == 8 and request.date.isascii() and request.date.isdigit()):
            raise CloudError(Kind.INVALID, "A credential's date is YYYYMMDD.", noun="parameter")
        key, principal, sequence = self._identity.signing_key(
            request.access_key_id, request.date, request.region, request.service
        )
        return identity_pb2.SigningKey(
            key=key, principal=_principal(principal), change_sequence=sequence
        )

    def ListKeyChanges(
        self, request: identity_pb2.ListKeyChangesRequest, call: Call
    ) -> identity_pb2.ListKeyChangesResponse:
        with self._db.read(call) as session:
            newest, keys, everything = rules.changes_after(session, request.after_sequence)
        return identity_pb2.ListKeyChangesResponse(
            sequence=newest, access_key_ids=keys, everything=everything
        )

    def VerifySigV2(
        self, request: identity_pb2.VerifySigV2Request, call: Call
    ) -> identity_pb2.Principal:
        return _principal(
            self._identity.verify_sigv2(
                request.access_key_id, request.algorithm, request.string_to_sign, request.signature
            )
        )


def _new_key(key: rules.NewKey) -> identity_pb2.AccessKey:
    return identity_pb2.AccessKey(
        access_key_id=key.access_key_id,
        secret_access_key=key.secret_access_key,
        account_id=key.account_id,
        status=rules.ACTIVE,
        create_time_ms=key.created_ms,
    )


def _principal(principal: Principal) -> identity_pb2.Principal:
    return identity_pb2.Principal(
        account_id=principal.account_id,
        arn=principal.arn,
        user_id=principal.id,
        operator=principal.operator,
    )
