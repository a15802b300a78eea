"""Internet gateways: made, attached to a VPC, detached, deleted. The only writer of the table.

Called by the service (rpc), by network/default_vpc, and by network/addresses/rules, which asks for
one. A VPC has at most one. Routes through one that is detached or gone stay and lead nowhere
("blackhole").
"""

import random
from typing import NamedTuple

from peewee import SQL

from controller.hosts.feed import Feed
from controller.identity.quotas.rules import Quotas
from controller.identity.tags import rules as tags
from controller.identity.tags.checks import tags_of_specifications
from controller.kernel.database import Session, Transaction
from controller.kernel.owned import Owned
from controller.network.vpcs import rules as vpcs
from controller.tables.network import InternetGateway, NetworkInterface, SecondaryAddress
from controller.tables.nouns import VPC
from protos.cloud.v1 import networks_pb2
from protos.errors import CloudError, Kind
from protos.ids import new_id

OWNED = Owned(
    "internet-gateway",
    InternetGateway.internet_gateway_id,
    InternetGateway.account_id,
    facts={"ec2:InternetGatewayID": InternetGateway.internet_gateway_id},
)


class GatewayRow(NamedTuple):
    internet_gateway_id: str
    vpc_id: str | None


def create(
    tx: Transaction,
    rng: random.Random,
    quotas: Quotas,
    request: networks_pb2.CreateInternetGatewayRequest,
) -> str:
    """Makes a gateway, attached to nothing; answers its id. Raises INVALID, QUOTA."""
    wanted = tags_of_specifications(request.tag_specifications, "internet-gateway")
    gateway_id = insert_gateway(tx, rng, quotas, tx.call.account_id, None)
    tagged = [("internet-gateway", [gateway_id], wanted["internet-gateway"])]
    tags.add(tx, tx.call.account_id, tagged)
    return gateway_id


def insert_gateway(
    tx: Transaction, rng: random.Random, quotas: Quotas, account_id: str, vpc_id: str | None
) -> str:
    quotas.charge(tx, account_id, {"internet_gateways": 1})
    gateway_id = new_id("internet-gateway", rng)
    row = {
        "internet_gateway_id": gateway_id,
        "account_id": account_id,
        "vpc_id": vpc_id,
        "created_ms": tx.call.now_ms,
    }
    tx.insert(InternetGateway, [row])
    return gateway_id


def attach(tx: Transaction, feed: Feed, request: networks_pb2.InternetGatewayInVpc) -> None:
    """Raises INVALID (the VPC has another), MALFORMED_ID, NOT_FOUND, EXISTS (it is attached)."""
    gateway = _find(tx, request.internet_gateway_id)
    vpc = vpcs.find(tx, request.vpc_id)
    if gateway.vpc_id:
        raise CloudError(
            Kind.EXISTS,
            f"resource {gateway.internet_gateway_id} is already attached to network "
            f"{gateway.vpc_id}",
            noun="internet-gateway",
            id=gateway.internet_gateway_id,
        )
    if attached_to(tx, vpc.vpc_id):
        raise CloudError(
            Kind.INVALID,
            f"Network {vpc.vpc_id} already has an internet gateway attached",
            noun="parameter",
            id=vpc.vpc_id,
        )
    _set_vpc(tx, feed, gateway.internet_gateway_id, vpc.vpc_id, vpc.vpc_id)


def detach(tx: Transaction, feed: Feed, request: networks_pb2.InternetGatewayInVpc) -> None:
    """Raises MALFORMED_ID, NOT_FOUND, WRONG_STATE (not-attached; in-use: public addresses)."""
    gateway = _find(tx, request.internet_gateway_id)
    vpc = vpcs.find(tx, request.vpc_id)
    if gateway.vpc_id != vpc.vpc_id:
        raise CloudError(
            Kind.WRONG_STATE,
            f"resource {gateway.internet_gateway_id} is not attached to network {vpc.vpc_id}",
            noun="internet-gateway",
            reason="not-attached",
            id=gateway.internet_gateway_id,
        )
    of_vpc = NetworkInterface.select(SQL("1")).where(NetworkInterface.vpc_id == vpc.vpc_id)
    own = SecondaryAddress.network_interface_id == NetworkInterface.network_interface_id
    mapped = (
        of_vpc.where(NetworkInterface.public_ip.is_null(False)),
        of_vpc.join(SecondaryAddress, on=own).where(SecondaryAddress.public_ip.is_null(False)),
    )
    if any(tx.exists(query.limit(1)) for query in mapped):
        raise CloudError(
            Kind.WRONG_STATE,
            f"Network {vpc.vpc_id} has some mapped public address(es). Please unmap those public "
            "address(es) before detaching the gateway.",
            noun="internet-gateway",
            reason="in-use",
            id=gateway.internet_gateway_id,
        )
    _set_vpc(tx, feed, gateway.internet_gateway_id, None, vpc.vpc_id)


def delete(tx: Transaction, quotas: Quotas, gateway_id: str) -> None:
    """Raises MALFORMED_ID, NOT_FOUND, WRONG_STATE (in-use: attached)."""
    if _find(tx, gateway_id).vpc_id:
        raise vpcs.in_use("internet-gateway", gateway_id)
    tx.delete(InternetGateway, InternetGateway.internet_gateway_id == gateway_id)
    tags.remove_all(tx, [gateway_id])
    quotas.refund(tx, tx.call.account_id, {"internet_gateways": 1})


def attached_to(session: Session, vpc_id: str) -> str:
    """The VPC's gateway, "" for none."""
    query = InternetGateway.select(InternetGateway.internet_gateway_id)
    return session.value(query.where(InternetGateway.vpc_id == vpc_id), str) or ""


def require_gateway(session: Session, vpc_id: str) -> None:
    """An elastic address is of use only where a gateway is. Raises WRONG_STATE (not-attached)."""
    if not attached_to(session, vpc_id):
        raise CloudError(
            Kind.WRONG_STATE,
            f"Network {vpc_id} is not attached to any internet gateway",
            noun="internet-gateway",
            reason="not-attached",
            id=vpc_id,
        )


def _set_vpc(
    tx: Transaction, feed: Feed, gateway_id: str, vpc_id: str | None, touched: str
) -> None:
    own = InternetGateway.internet_gateway_id == gateway_id
    tx.advance(InternetGateway, {"vpc_id": vpc_id}, own)
    feed.revise(tx, VPC, [touched])


def _find(tx: Transaction, gateway_id: str) -> GatewayRow:
    return OWNED.find(tx, tx.call.account_id, gateway_id, GatewayRow)
