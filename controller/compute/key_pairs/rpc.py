"""The service KeyPairs: from the wire to the rules and back. Filters as EC2 documents them."""

import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from controller.compute.key_pairs import formats, rules
from controller.identity.quotas.rules import Quotas
from controller.identity.tags import rules as tags
from controller.identity.tags.checks import tags_of_specifications
from controller.identity.tags.filters import tag_filters
from controller.kernel.call import Call
from controller.kernel.database import Database
from controller.kernel.filters import column, where
from controller.kernel.lookup import check_found, check_ids
from controller.kernel.rows import columns
from controller.tables.compute import KeyPair
from protos.cloud.v1 import common_pb2, keys_pb2

FILTERS = {
    "key-pair-id": column(KeyPair.key_pair_id),
    "key-name": column(KeyPair.key_name),
    "fingerprint": column(KeyPair.fingerprint),
    **tag_filters(KeyPair.key_pair_id),
}


class KeyPairRow(NamedTuple):
    key_pair_id: str
    key_name: str
    key_type: str
    fingerprint: str
    public_key: str
    created_ms: int


class KeyPairsServicer:
    def __init__(self, db: Database, rng: random.Random, quotas: Quotas):
        self._db, self._rng, self._quotas = db, rng, quotas

    def Create(self, request: keys_pb2.CreateKeyPairRequest, call: Call) -> keys_pb2.KeyPair:
        """Primes are looked for outside the transaction, and only where the name is free."""
        rules.check_name(request.key_name)
        wanted = tags_of_specifications(request.tag_specifications, "key-pair")["key-pair"]
        key_type = rules.check_choice(request.key_type, rules.KEY_TYPES, "keyType")
        key_format = rules.check_choice(request.key_format, rules.KEY_FORMATS, "keyFormat")
        with self._db.read(call) as session:
            rules.check_free(session, call.account_id, request.key_name)
        key = formats.create_key(key_type, key_format, request.key_name)
        message = self._add(request.key_name, key, wanted, call)
        message.private_key = key.private_key
        return message

    def Import(self, request: keys_pb2.ImportKeyPairRequest, call: Call) -> keys_pb2.KeyPair:
        rules.check_name(request.key_name)
        wanted = tags_of_specifications(request.tag_specifications, "key-pair")["key-pair"]
        key = formats.import_key(request.public_key_material)
        return self._add(request.key_name, key, wanted, call)

    def Describe(
        self, request: keys_pb2.DescribeKeyPairsRequest, call: Call
    ) -> keys_pb2.DescribeKeyPairsResponse:
        mine = [KeyPair.account_id == call.account_id, *where(FILTERS, request.filters)]
        check_ids("key-pair", request.key_pair_ids)
        with self._db.read(call) as session:
            for field, asked in (
                (KeyPair.key_name, list(request.key_names)),
                (KeyPair.key_pair_id, list(request.key_pair_ids)),
            ):
                if asked:
                    named = KeyPair.select(field).where(
                        KeyPair.account_id == call.account_id, field.in_(asked)
                    )
                    check_found(session, named, "key-pair", asked, set())
                    mine.append(field.in_(asked))
            query = KeyPair.select(*columns(KeyPairRow, KeyPair)).where(*mine)
            rows = session.rows(query.order_by(KeyPair.key_name), KeyPairRow)
            tagged = tags.tags_of(session, [row.key_pair_id for row in rows])
        pairs = [_message(row, tagged[row.key_pair_id]) for row in rows]
        if not request.include_public_key:
            for pair in pairs:
                pair.ClearField("public_key")
        return keys_pb2.DescribeKeyPairsResponse(key_pairs=pairs)

    def Delete(
        self, request: keys_pb2.DeleteKeyPairRequest, call: Call
    ) -> keys_pb2.DeleteKeyPairResponse:
        with self._db.write(call) as tx:
            found = rules.delete(tx, self._quotas, request.key_pair_id, request.key_name)
        return keys_pb2.DeleteKeyPairResponse(key_pair_id=found)

    def _add(
        self, name: str, key: formats.ImportedKey, wanted: Mapping[str, str], call: Call
    ) -> keys_pb2.KeyPair:
        with self._db.write(call) as tx:
            key_pair_id = rules.add(tx, self._rng, self._quotas, name, key, wanted)
            query = KeyPair.select(*columns(KeyPairRow, KeyPair))
            (row,) = tx.rows(query.where(KeyPair.key_pair_id == key_pair_id), KeyPairRow)
            return _message(row, tags.tags_of(tx, [key_pair_id])[key_pair_id])


def _message(row: KeyPairRow, pair_tags: Sequence[common_pb2.Tag]) -> keys_pb2.KeyPair:
    return keys_pb2.KeyPair(
        key_pair_id=row.key_pair_id,
        key_name=row.key_name,
        key_type=row.key_type,
        fingerprint=row.fingerprint,
        public_key=row.public_key,
        create_time_ms=row.created_ms,
        tags=pair_tags,
    )
