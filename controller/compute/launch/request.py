"""What a launch asks for: the request checked by itself, and what it names looked up.

    CheckedRequest   a RunInstances request that can be meant    check_request (pure)
    Named            its instance type, image and key            find_named (one statement)
    Earlier          what its client token has launched before   find_named

Called by run. What a request may say is EC2's (docs/ec2.md, traps 23 to 27).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from peewee import JOIN, Query, fn

from controller.compute.instances.settings import (
    check_shutdown_behavior,
    check_user_data,
    metadata_columns,
    shows_tags,
)
from controller.compute.types.rules import no_such_type, runs_on
from controller.config import InstancesConfig
from controller.identity.tags.checks import check_keys_in_metadata, tags_of_specifications
from controller.kernel.client_tokens import check_token, digest_of
from controller.kernel.database import Transaction
from controller.kernel.lookup import check_ids, not_found
from controller.kernel.prepared import Given, prepared
from controller.storage.images.sharing import SHARES, no_longer_available
from controller.storage.states import GONE
from controller.tables.compute import Instance, InstanceType, KeyPair
from controller.tables.identity import Account
from controller.tables.storage import Image
from protos.cloud.v1 import instances_pb2
from protos.errors import CloudError, Kind, invalid_parameter


@dataclass(frozen=True)
class CheckedRequest:
    """A request that can be meant, and what it leaves to be understood."""

    request: instances_pb2.RunInstancesRequest
    digest: str  # equal for requests that say the same
    type_name: str
    tags: Mapping[str, Mapping[str, str]]  # of "instance", "volume", "network-interface"
    metadata: Mapping[str, object]  # columns of the instance


class LaunchType(NamedTuple):
    """The instance type of a launch: columns of ``instance_type``."""

    name: str
    vcpus: int
    memory_mib: int
    burstable: bool
    architecture: str
    maximum_network_interfaces: int
    ipv4_addresses_per_interface: int


class LaunchImage(NamedTuple):
    """The image of a launch: columns of ``image``."""

    image_id: str
    status: str
    architecture: str
    digest: str
    disk_format: str
    size_bytes: int
    virtual_size_bytes: int
    root_device_name: str
    root_volume_size_gib: int
    root_delete_on_termination: bool
    root_volume_type: str
    mapped_devices: int
    imds_support: str


@dataclass(frozen=True)
class Named:
    """What the request names, all of it there and fit for a launch."""

    instance_type: LaunchType
    image: LaunchImage
    public_key: str  # "" where no key is named


class Earlier(NamedTuple):
    """The client token was used before: what it made, and the digest of that request."""

    reservation_id: str
    digest: str


def check_request(
    request: instances_pb2.RunInstancesRequest, config: InstancesConfig
) -> CheckedRequest:
    """What can be said of a request by itself. Raises INVALID, UNSUPPORTED, MALFORMED_ID, QUOTA."""
    _check_counts(request, config.max_per_call)
    check_ids("image", [request.image_id])
    check_token(request.client_token)
    check_user_data(request.user_data)
    check_shutdown_behavior(request.instance_initiated_shutdown_behavior or "stop")
    if request.tenancy not in ("", "default"):
        raise CloudError(
            Kind.UNSUPPORTED, f"The tenancy '{request.tenancy}' is not supported.", noun="parameter"
        )
    metadata = metadata_columns(request.metadata_options)
    tags = tags_of_specifications(
        request.tag_specifications, "instance", "volume", "network-interface"
    )
    if shows_tags(metadata):
        check_keys_in_metadata(tags["instance"])
    _check_interfaces(request)
    type_name = request.instance_type or config.default_type
    return CheckedRequest(request, digest_of(request), type_name, tags, metadata)


def _check_counts(request: instances_pb2.RunInstancesRequest, max_per_call: int) -> None:
    if request.min_count < 1:
        raise invalid_parameter(
            "Value (" + str(request.min_count) + ") for parameter minCount is invalid."
        )
    if request.max_count < request.min_count:
        raise invalid_parameter(
            f"Value ({request.max_count}) for parameter maxCount is invalid. "
            "It must be at least minCount."
        )
    if request.max_count > max_per_call:
        raise CloudError(
            Kind.QUOTA,
            f"You have requested more instances ({request.max_count}) than one call may launch "
            f"({max_per_call}).",
            noun="instance",
        )


def _check_interfaces(request: instances_pb2.RunInstancesRequest) -> None:
    """Which members about interfaces go together, as EC2 has it."""
    asked = request.network_interfaces
    named = request.private_ip_address or any(
        one.private_ip_address or one.secondary_private_ip_addresses for one in asked
    )
    if named and request.max_count > 1:
        raise bad_combination(
            "The parameter privateIpAddress cannot be used when launching more than one instance"
        )
    if not asked:
        return
    for value, what in (
        (request.subnet_id, "subnet ID"),
        (request.security_group_ids or request.security_group_names, "security groups"),
        (request.private_ip_address, "private address"),
    ):
        if value:
            raise bad_combination(
                f"Network interfaces and an instance-level {what} may not be specified on the same"
                " request"
            )
    indexes = [one.device_index for one in asked]
    if len(set(indexes)) < len(indexes):
        raise bad_combination("Each network interface requires a unique device index.")
    if 0 not in indexes:
        raise invalid_parameter(
            "The first network interface of an instance has the device index 0."
        )
    ids = [one.network_interface_id for one in asked if one.network_interface_id]
    check_ids("network-interface", ids)
    if len(set(ids)) < len(ids):
        raise bad_combination("A network interface may be specified only once.")
    for one in asked:
        if one.network_interface_id:
            _check_existing(one, request.max_count)
        if one.HasField("associate_public_ip_address") and len(asked) > 1:
            raise bad_combination(
                "The associatePublicIPAddress parameter cannot be specified when launching with "
                "multiple network interfaces."
            )


def _check_existing(one: instances_pb2.LaunchInterface, max_count: int) -> None:
    for value, what in (
        (one.subnet_id, "a subnet"),
        (one.security_group_ids, "security groups"),
        (one.private_ip_address or one.secondary_private_ip_addresses, "a private address"),
        (one.secondary_private_ip_address_count, "a count of secondary private addresses"),
        (one.description, "a description"),
        (one.HasField("associate_public_ip_address"), "associatePublicIPAddress"),
        (one.delete_on_termination, "deleteOnTermination"),
    ):
        if value:
            raise bad_combination(
                f"A network interface may not specify both a network interface ID and {what}"
            )
    if max_count > 1:
        raise bad_combination(
            "A network interface ID cannot be used when launching more than one instance"
        )


def find_named(tx: Transaction, checked: CheckedRequest) -> Named | Earlier:
    """Raises INVALID for a type that is not there, NOT_FOUND for an image or key, WRONG_STATE for
    an image not available."""
    request, account_id = checked.request, tx.call.account_id
    rows = tx.tuples(
        _named_query(
            account_id=account_id,
            type_name=checked.type_name,
            image_id=request.image_id,
            key_name=request.key_name,
            client_token=request.client_token,
        )
    )
    if not rows:
        raise CloudError(
            Kind.NOT_FOUND,
            f"The account '{account_id}' does not exist",
            noun="account",
            id=account_id,
        )
    ((reservation_id, digest, public_key, *columns),) = rows
    if reservation_id:
        return Earlier(reservation_id, digest)
    of_type, of_image = columns[: len(LaunchType._fields)], columns[len(LaunchType._fields) :]
    if of_type[0] is None:
        raise no_such_type(checked.type_name)
    if of_image[0] is None:
        raise not_found("image", request.image_id)
    named = Named(LaunchType(*of_type), LaunchImage(*of_image), public_key or "")
    _check_image(named.image)
    if request.key_name and public_key is None:
        raise not_found("key-pair", request.key_name)
    if not runs_on(named.image.architecture, named.instance_type.architecture):
        raise CloudError(
            Kind.INVALID,
            f"The architecture '{named.instance_type.architecture}' of the specified instance type "
            f"does not match the architecture '{named.image.architecture}' of the specified AMI.",
            noun="parameter",
        )
    return named


def _check_image(image: LaunchImage) -> None:
    if image.status in GONE:
        raise no_longer_available(image.image_id)
    if image.status != "active" or image.digest is None:
        raise CloudError(
            Kind.WRONG_STATE,
            f"The image '{image.image_id}' is not available.",
            noun="image",
            id=image.image_id,
            reason="unavailable",
        )


@prepared
def _named_query(
    account_id: Given, type_name: Given, image_id: Given, key_name: Given, client_token: Given
) -> Query:
    own_key = (KeyPair.account_id == Account.account_id) & (KeyPair.key_name == key_name)
    shared = SHARES.with_account(Account.account_id)
    seen = Image.public | (Image.account_id == Account.account_id) | shared
    launched = Instance.alias("launched")
    first = launched.select(fn.MIN(launched.ami_launch_index)).where(  # others may be purged
        launched.account_id == account_id,
        launched.client_token == client_token,
        launched.client_token != "",
    )
    earlier = (
        (Instance.account_id == Account.account_id)
        & (Instance.client_token == client_token)
        & (Instance.client_token != "")
        & (Instance.ami_launch_index == first)
    )
    return (
        Account.select(
            Instance.reservation_id,
            Instance.request_digest,
            KeyPair.public_key,
            *(getattr(InstanceType, name) for name in LaunchType._fields),
            *(getattr(Image, name) for name in LaunchImage._fields),
        )
        .join(InstanceType, JOIN.LEFT_OUTER, on=InstanceType.name == type_name)
        .join(Image, JOIN.LEFT_OUTER, on=(Image.image_id == image_id) & seen)
        .join(KeyPair, JOIN.LEFT_OUTER, on=own_key)
        .join(Instance, JOIN.LEFT_OUTER, on=earlier)
        .where(Account.account_id == account_id)
    )


def bad_combination(message: str) -> CloudError:
    return invalid_parameter(message, "parameter-combination")
