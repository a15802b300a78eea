"""The service Addresses: from the wire to the rules and back."""

import random

from controller.hosts.feed import Feed
from controller.identity.quotas.rules import Quotas
from controller.kernel.call import Call
from controller.kernel.database import Database
from controller.network.addresses import rules as addresses
from controller.network.addresses.describe import (
    address_filters,
    describe_address,
    describe_addresses,
)
from protos.cloud.v1 import common_pb2, networks_pb2


class AddressesServicer:
    def __init__(self, db: Database, rng: random.Random, quotas: Quotas, feed: Feed, region: str):
        self._db, self._rng, self._quotas, self._feed = db, rng, quotas, feed
        self._filters = address_filters(region)

    def Allocate(
        self, request: networks_pb2.AllocateAddressRequest, call: Call
    ) -> networks_pb2.Address:
        with self._db.write(call) as tx:
            allocation_id, _ = addresses.allocate(tx, self._rng, self._quotas, request)
            return describe_address(tx, allocation_id)

    def Describe(
        self, request: networks_pb2.DescribeAddressesRequest, call: Call
    ) -> networks_pb2.DescribeAddressesResponse:
        with self._db.read(call) as session:
            return describe_addresses(session, call.account_id, self._filters, request)

    def Associate(
        self, request: networks_pb2.AssociateAddressRequest, call: Call
    ) -> networks_pb2.Address:
        with self._db.write(call) as tx:
            allocation_id = addresses.associate(tx, self._rng, self._feed, request)
            return describe_address(tx, allocation_id)

    def Disassociate(
        self, request: networks_pb2.DisassociateAddressRequest, call: Call
    ) -> common_pb2.Empty:
        with self._db.write(call) as tx:
            addresses.disassociate(tx, self._feed, request)
        return common_pb2.Empty()

    def Release(self, request: networks_pb2.ReleaseAddressRequest, call: Call) -> common_pb2.Empty:
        with self._db.write(call) as tx:
            addresses.release(tx, self._quotas, request)
        return common_pb2.Empty()
