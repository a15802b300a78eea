"""Calls about what an account has beside: tags, key pairs, and quotas, which its operator sets."""

from protos.cloud.v1 import common_pb2, keys_pb2, quotas_pb2, tags_pb2
from tests.harness.customers import Call, Customer
from tests.harness.draw import Draw

PUBLIC_KEY = (
    b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAw alice"
)
LIMITS = {"memory_mib": [8192, 65536], "vcpus": [8, 64], "gigabytes": [60, 400], "vpcs": [1, 3, 5]}
QUOTAS = (
    "instances",
    "vcpus",
    "memory_mib",
    "addresses",
    "security_groups",
    "volumes",
    "gigabytes",
    "snapshots",
    "vpcs",
    "network_interfaces",
)


def _taggable(me: Customer) -> list[str]:
    nouns = (
        *(me.instances, me.groups, me.volumes, me.snapshots, me.images),
        *(me.vpcs, me.subnets, me.interfaces),
    )
    return [name for known in nouns for name in known]


def tag(d: Draw, me: Customer) -> Call | None:
    known = _taggable(me)
    if not known:
        return None
    tags = [common_pb2.Tag(key=d.one(["Name", "team", "cost"]), value=d.fresh("value"))]
    return Call("Tags", "Create", tags_pb2.CreateTagsRequest(resource_ids=d.some(known), tags=tags))


def untag(d: Draw, me: Customer) -> Call | None:
    known = _taggable(me)
    if not known:
        return None
    tags = [tags_pb2.TagSelector(key=d.one(["Name", "team", "cost"]))]
    return Call("Tags", "Delete", tags_pb2.DeleteTagsRequest(resource_ids=d.some(known), tags=tags))


def set_quota(d: Draw, me: Customer) -> Call:
    name = d.one(QUOTAS)
    limit = d.one(LIMITS.get(name, [2, 10, 20]))
    request = quotas_pb2.SetQuotaRequest(account_id=me.account_id, name=name, limit=limit)
    return Call("Quotas", "Set", request)


def import_key(d: Draw, me: Customer) -> Call:
    name = d.fresh("key")
    me.keys.append(name)
    request = keys_pb2.ImportKeyPairRequest(key_name=name, public_key_material=PUBLIC_KEY)
    return Call("KeyPairs", "Import", request)


def delete_key(d: Draw, me: Customer) -> Call | None:
    if not me.keys:
        return None
    return Call("KeyPairs", "Delete", keys_pb2.DeleteKeyPairRequest(key_name=d.one(me.keys)))


ACTIONS = (
    (tag, 4),
    (untag, 2),
    (import_key, 2),
    (delete_key, 1),
    (set_quota, 2),
)
