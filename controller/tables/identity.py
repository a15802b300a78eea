"""The tables of identity/. How to read them: tables/schema."""

from peewee import CompositeKey

from controller.kernel.columns import BigIntegerField, BlobField, TextField
from controller.kernel.table import Table, flag, id_key, number, ref, text


class Account(Table):
    account_id = id_key()  # twelve digits
    name = TextField(unique=True)
    operator = flag()
    created_ms = number()


class Principal(Table):
    """Who can call in an account's name. Each account has its root, whose id is the account's."""

    principal_id = id_key()
    account_id = ref(Account.account_id)
    kind = TextField()  # root
    arn = TextField(unique=True)
    created_ms = number()

    class Meta:
        indexes = ((("account_id", "principal_id"), False),)


class AccessKey(Table):
    access_key_id = id_key()
    principal_id = ref(Principal.principal_id)
    sealed_secret = BlobField()  # identity/sealing
    status = text(default="Active")  # Active | Inactive
    created_ms = number()

    class Meta:
        indexes = ((("principal_id", "access_key_id"), False),)


class KeyChange(Table):
    """Access keys that stopped being valid, in order: what the gateways poll."""

    sequence = BigIntegerField(primary_key=True)
    access_key_id = TextField()
    changed_ms = number()


class Quota(Table):
    """One row per account and name, made with the account. maximum NULL: the configured default."""

    account_id = ref(Account.account_id)
    name = TextField()
    maximum = BigIntegerField(null=True)
    used = number()

    class Meta:
        primary_key = CompositeKey("account_id", "name")


class Tag(Table):
    resource_id = TextField()
    key = TextField()
    value = text()
    account_id = ref(Account.account_id)
    resource_type = TextField()  # EC2's: "instance", "security-group" ...

    class Meta:
        primary_key = CompositeKey("resource_id", "key")
        indexes = (
            (("key", "value", "resource_id"), False),
            (("account_id", "resource_id", "key"), False),
        )
