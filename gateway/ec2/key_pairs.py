"""SSH key pairs: make, bring, list, delete."""

from collections.abc import Sequence

from gateway.aws.renderers import View
from gateway.call import Call
from gateway.ec2.parameters import Filter, TagSpecification, filters_of, tag_specifications_of
from gateway.ec2.views.key_pairs import created, imported, key_pair
from protos.cloud.v1 import keys_pb2
from protos.errors import missing_parameter


def create_key_pair(
    call: Call,
    *,
    key_name: str,
    key_type: str = "rsa",
    key_format: str = "pem",
    tag_specifications: Sequence[TagSpecification] = (),
) -> View:
    request = keys_pb2.CreateKeyPairRequest(
        key_name=key_name,
        key_type=key_type,
        key_format=key_format,
        tag_specifications=tag_specifications_of(tag_specifications, "key-pair"),
    )
    return created(call.clients.key_pairs.Create(request, caller=call.caller))


def import_key_pair(
    call: Call,
    *,
    key_name: str,
    public_key_material: bytes,
    tag_specifications: Sequence[TagSpecification] = (),
) -> View:
    request = keys_pb2.ImportKeyPairRequest(
        key_name=key_name,
        public_key_material=public_key_material,
        tag_specifications=tag_specifications_of(tag_specifications, "key-pair"),
    )
    return imported(call.clients.key_pairs.Import(request, caller=call.caller))


def describe_key_pairs(
    call: Call,
    *,
    key_names: Sequence[str] = (),
    key_pair_ids: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    include_public_key: bool = False,
) -> View:
    request = keys_pb2.DescribeKeyPairsRequest(
        key_names=key_names,
        key_pair_ids=key_pair_ids,
        filters=filters_of(filters),
        include_public_key=include_public_key,
    )
    answer = call.clients.key_pairs.Describe(request, caller=call.caller)
    return {"KeyPairs": [key_pair(each) for each in answer.key_pairs]}


def delete_key_pair(call: Call, *, key_name: str = "", key_pair_id: str = "") -> View:
    if not key_name and not key_pair_id:
        raise missing_parameter("KeyName")
    request = keys_pb2.DeleteKeyPairRequest(key_name=key_name, key_pair_id=key_pair_id)
    answer = call.clients.key_pairs.Delete(request, caller=call.caller)
    return {"Return": True, "KeyPairId": answer.key_pair_id}
