"""Key pairs as EC2 shows them: the private key once, in the answer that made it."""

from gateway.aws.renderers import View
from gateway.ec2.views.shared import tags
from protos.cloud.v1 import keys_pb2


def imported(given: keys_pb2.KeyPair) -> View:
    return {
        "KeyPairId": given.key_pair_id,
        "KeyName": given.key_name,
        "KeyFingerprint": given.fingerprint,
        "Tags": tags(given.tags),
    }


def created(given: keys_pb2.KeyPair) -> View:
    return imported(given) | {"KeyMaterial": given.private_key}


def key_pair(given: keys_pb2.KeyPair) -> View:
    return imported(given) | {
        "KeyType": given.key_type,
        "CreateTime": given.create_time_ms,
        "PublicKey": given.public_key,
    }
