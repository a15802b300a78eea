"""Elastic addresses: allocated, moved between interfaces, released.

Called by the service (rpc). What EC2's User Guide says of them ("Elastic IP addresses"), and the
API Reference:

- an address lent at launch returns to the pool when an elastic one takes its place; when that
  leaves, a running instance that was launched with a public address is lent another (where none
  is left, it stays without);
- associating an address that another interface carries moves it, unless AllowReassociation=false;
- each private address of an interface can carry one; one that carries one and gets another keeps
  the new one only, and the old stays allocated;
- an associated address cannot be released.
"""

import random
from dataclasses import dataclass
from typing import NamedTuple

from controller.hosts.feed import Feed
from controller.identity.quotas.rules import Quotas
from controller.identity.tags import rules as tags
from controller.identity.tags.checks import tags_of_specifications
from controller.kernel.database import Transaction
from controller.kernel.lookup import check_ids, find_one, not_found
from controller.kernel.owned import Owned
from controller.kernel.table import Clause
from controller.network import address_pool as pool
from controller.network.addresses.find import (
    AddressRow,
    carried_association_id,
    either,
    find_address,
    no_address,
    own_addresses,
)
from controller.network.interfaces.rules import may_be_lent_another, several_interfaces, tell_hosts
from controller.network.routing import internet_gateways as gateways
from controller.tables.compute import Attachment, Instance
from controller.tables.network import NetworkInterface, PublicAddress, SecondaryAddress
from protos.cloud.v1 import networks_pb2
from protos.errors import CloudError, Kind, invalid_parameter, missing_parameter
from protos.ids import new_id

OWNED = Owned(
    "elastic-ip",
    PublicAddress.allocation_id,
    PublicAddress.account_id,
    facts={
        "ec2:AllocationId": PublicAddress.allocation_id,
        "ec2:PublicIpAddress": PublicAddress.public_ip,
    },
)
_NIC, _MORE = NetworkInterface, SecondaryAddress


class NicRow(NamedTuple):
    """An interface, with its instance or None."""

    network_interface_id: str
    instance_id: str | None
    vpc_id: str
    subnet_id: str
    private_ip: str
    public_ip: str | None
    association_id: str
    desired: str | None


class CarrierRow(NamedTuple):
    public_ip: str | None
    association_id: str


@dataclass(frozen=True)
class Target:
    """A private address of an interface, and the public one that it carries now."""

    nic: NicRow
    secondary_ip: str  # "": the primary one
    public_ip: str | None
    association_id: str


def allocate(
    tx: Transaction,
    rng: random.Random,
    quotas: Quotas,
    request: networks_pb2.AllocateAddressRequest,
) -> tuple[str, str]:
    """An address for the account; answers (allocation id, address).

    Raises INVALID, NOT_FOUND, EXISTS, QUOTA, NO_CAPACITY.
    """
    account_id = tx.call.account_id
    wanted = tags_of_specifications(request.tag_specifications, "elastic-ip")
    # "standard" was EC2-Classic's. Since that is gone, EC2 gives who asks for it an address of a
    # VPC; amazon.aws asks for it by default.
    if request.domain not in ("", "vpc", "standard"):
        raise CloudError(
            Kind.INVALID,
            f"Invalid value '{request.domain}' for domain.",
            noun="parameter",
        )
    quotas.charge(tx, account_id, {"addresses": 1})
    if request.address:
        address = _take_this(tx, request.address)
    else:
        found = pool.take(tx, account_id, 1)
        if not found:
            raise CloudError(
                Kind.NO_CAPACITY,
                "There are no free public addresses. Ask the operator for a larger pool.",
                noun="elastic-ip",
            )
        address = found[0]
    allocation_id = new_id("elastic-ip", rng)
    tx.advance(PublicAddress, {"allocation_id": allocation_id}, PublicAddress.public_ip == address)
    tags.add(tx, account_id, [("elastic-ip", [allocation_id], wanted["elastic-ip"])])
    return allocation_id, address


def associate(
    tx: Transaction,
    rng: random.Random,
    feed: Feed,
    request: networks_pb2.AssociateAddressRequest,
) -> str:
    """Puts an address on an interface; answers its allocation id. The same again changes nothing.

    Raises INVALID, MALFORMED_ID, NOT_FOUND, WRONG_STATE (also: the VPC has no gateway), EXISTS
    (associated and AllowReassociation=false).
    """
    address = find_address(tx, request.allocation_id, request.public_ip)
    target = _find_target(tx, request)
    nic = target.nic
    if target.public_ip == address.public_ip:
        return address.allocation_id
    gateways.require_gateway(tx, nic.vpc_id)
    may_move = not request.HasField("allow_reassociation") or request.allow_reassociation
    if not may_move and address.network_interface_id:
        raise _already_associated(address.allocation_id, address.association_id or "")
    if not may_move and target.association_id:
        raise _already_associated(nic.network_interface_id, target.association_id)
    if address.network_interface_id:
        _take_off(tx, feed, address)
    if target.public_ip and not target.association_id:
        pool.give_back(tx, [target.public_ip])
    carries = {
        "public_ip": address.public_ip,
        "association_id": new_id("elastic-ip-association", rng),
    }
    if target.secondary_ip:
        tx.advance(_MORE, carries, *_is_secondary(nic.subnet_id, target.secondary_ip))
    else:
        tx.advance(_NIC, carries, _NIC.network_interface_id == nic.network_interface_id)
    tell_hosts(tx, feed, nic.vpc_id, nic.instance_id)
    return address.allocation_id


def disassociate(
    tx: Transaction, feed: Feed, request: networks_pb2.DisassociateAddressRequest
) -> None:
    """Takes an address off its interface.

    Raises INVALID (also for a public address, by which only EC2-Classic's were named), NOT_FOUND.
    """
    if request.association_id and request.public_ip:
        raise either("associationId", "publicIp")
    if request.public_ip:
        find_address(tx, "", request.public_ip)
        raise invalid_parameter(
            "You must specify an association id when unmapping an address from a VPC instance"
        )
    own, noun = own_addresses(tx), "elastic-ip-association"
    key, association_id = carried_association_id, request.association_id
    address = find_one(tx, own, key, noun, association_id, "associationId", row=AddressRow)
    tx.authorize("elastic-ip", [address.allocation_id])
    if address.network_interface_id:
        tx.authorize("network-interface", [address.network_interface_id])
    _take_off(tx, feed, address)


def release(tx: Transaction, quotas: Quotas, request: networks_pb2.ReleaseAddressRequest) -> None:
    """Gives an address back to the pool.

    Raises INVALID (as ``disassociate``), NOT_FOUND, WRONG_STATE (in-use).
    """
    address = find_address(tx, request.allocation_id, request.public_ip)
    if request.public_ip:
        raise invalid_parameter(
            "You must specify an allocation id when releasing a VPC elastic IP address"
        )
    if address.network_interface_id:
        raise CloudError(
            Kind.WRONG_STATE,
            f"Address {address.public_ip} is in use.",
            noun="elastic-ip",
            reason="in-use",
            id=address.allocation_id,
        )
    tx.advance(
        PublicAddress,
        {"account_id": None, "allocation_id": None, "reserved_ms": tx.call.now_ms},
        PublicAddress.allocation_id == address.allocation_id,
    )
    tags.remove_all(tx, [address.allocation_id])
    quotas.refund(tx, tx.call.account_id, {"addresses": 1})


def _take_this(tx: Transaction, address: str) -> str:
    """A particular address of the pool. Whether another account has it is nobody's business."""
    taken = tx.advance(
        PublicAddress,
        {"account_id": tx.call.account_id, "reserved_ms": tx.call.now_ms},
        PublicAddress.public_ip == address,
        PublicAddress.account_id.is_null(),
        ~pool.is_strangers(PublicAddress.public_ip),
    )
    if taken:
        return address
    mine = tx.exists(
        PublicAddress.select(PublicAddress.public_ip).where(
            PublicAddress.public_ip == address, PublicAddress.account_id == tx.call.account_id
        )
    )
    if mine:
        raise CloudError(
            Kind.EXISTS, f"Address {address} is in use.", noun="elastic-ip", id=address
        )
    raise no_address(address)


def _is_secondary(subnet_id: str | None, private_ip: str) -> tuple[Clause, Clause]:
    return _MORE.subnet_id == subnet_id, _MORE.private_ip == private_ip


def _find_target(tx: Transaction, request: networks_pb2.AssociateAddressRequest) -> Target:
    """An address of the caller's interface, which is named by its own id or by that of its
    instance, which has no other and must not be on its way out.

    Where both are named, EC2 goes by the instance and does not look at the interface, whatever its
    documentation says (hashicorp/terraform issues 2952 and 31744). Terraform needs that: to the new
    instance of a replaced one it adds the interface of the old.
    """
    query = (
        _NIC.select(
            _NIC.network_interface_id,
            Attachment.instance_id,
            _NIC.vpc_id,
            _NIC.subnet_id,
            _NIC.private_ip,
            _NIC.public_ip,
            _NIC.association_id,
            Instance.desired,
        )
        .left_outer_join(Attachment, on=Attachment.device_id == _NIC.network_interface_id)
        .left_outer_join(Instance, on=Instance.instance_id == Attachment.instance_id)
        .where(_NIC.account_id == tx.call.account_id)
        .order_by(Attachment.position)
    )
    if request.instance_id:
        check_ids("instance", [request.instance_id])
        of_instance = query.where(Attachment.instance_id == request.instance_id)
        found = tx.rows(of_instance.limit(2), NicRow)
        if len(found) > 1:
            raise several_interfaces(request.instance_id)
        nic: NicRow | None = found[0] if found else None
    elif request.network_interface_id:
        check_ids("network-interface", [request.network_interface_id])
        is_it = _NIC.network_interface_id == request.network_interface_id
        nic = tx.one(query.where(is_it), NicRow)
    else:
        raise missing_parameter("instanceId")
    if nic is None:
        raise _no_target(tx, request)
    tx.authorize("network-interface", [nic.network_interface_id])
    if nic.instance_id:
        tx.authorize("instance", [nic.instance_id])
    if nic.desired == "terminated":
        raise _invalid_instance(nic.instance_id or "")
    if request.private_ip_address in ("", nic.private_ip):
        return Target(nic, "", nic.public_ip, nic.association_id)
    private_ip = request.private_ip_address
    secondary = tx.one(
        _MORE.select(_MORE.public_ip, _MORE.association_id).where(
            *_is_secondary(nic.subnet_id, private_ip),
            _MORE.network_interface_id == nic.network_interface_id,
        ),
        CarrierRow,
    )
    if secondary is None:
        raise CloudError(
            Kind.INVALID,
            f"Invalid value '{private_ip}' for PrivateIpAddress: it is not an address of the "
            "network interface.",
            noun="parameter",
        )
    return Target(nic, private_ip, secondary.public_ip, secondary.association_id)


def _no_target(tx: Transaction, request: networks_pb2.AssociateAddressRequest) -> CloudError:
    """No such interface; a terminated instance can still be seen but has none."""
    if request.network_interface_id:
        return not_found("network-interface", request.network_interface_id)
    seen = tx.value(
        Instance.select(Instance.instance_id).where(
            Instance.instance_id == request.instance_id,
            Instance.account_id == tx.call.account_id,
        ),
        str,
    )
    return _invalid_instance(seen) if seen else not_found("instance", request.instance_id)


def _take_off(tx: Transaction, feed: Feed, carried: AddressRow) -> None:
    """Off the private address that carries it; an interface's primary one is lent another where it
    wants one and runs."""
    if carried.secondary_ip:
        bare = {"public_ip": None, "association_id": ""}
        tx.advance(_MORE, bare, *_is_secondary(carried.subnet_id, carried.secondary_ip))
        tell_hosts(tx, feed, carried.vpc_id, carried.instance_id)
        return
    is_it = _NIC.network_interface_id == carried.network_interface_id
    instead = ""
    if carried.auto_public and carried.instance_id:
        runs = tx.exists(
            _NIC.select(Instance.instance_id)
            .join(Attachment, on=Attachment.device_id == _NIC.network_interface_id)
            .join(Instance, on=Instance.instance_id == Attachment.instance_id)
            .where(is_it, Instance.desired == "running", may_be_lent_another())
        )
        if runs:
            instead = next(iter(pool.take(tx, tx.call.account_id, 1)), "")
    tx.advance(_NIC, {"public_ip": instead or None, "association_id": ""}, is_it)
    tell_hosts(tx, feed, carried.vpc_id, carried.instance_id)


def _already_associated(what: str, association_id: str) -> CloudError:
    return CloudError(
        Kind.EXISTS,
        f"resource {what} is already associated with associate-id {association_id}",
        noun="elastic-ip-association",
        id=association_id,
    )


def _invalid_instance(instance_id: str) -> CloudError:
    return CloudError(
        Kind.WRONG_STATE,
        f"The instance '{instance_id}' is not in a valid state for this operation.",
        noun="instance",
        id=instance_id,
    )
