"""What a launch needs to know, in few statements (they are counted): type, image, key and token at
once; hosts."""

from dataclasses import dataclass

from peewee import JOIN, ModelSelect

from controller.compute.scheduling.model import Candidate
from controller.compute.types.rules import no_such_type, runs_on
from controller.kernel.database import Session
from controller.kernel.lookup import check_there, not_found
from controller.kernel.prepared import prepared
from controller.storage.images.sharing import SHARES, no_longer_available
from controller.storage.states import GONE
from controller.tables.compute import Instance, InstanceType, KeyPair, Placement
from controller.tables.hosts import Host
from controller.tables.identity import Account
from controller.tables.storage import HostImage, Image
from protos.cloud.v1 import instances_pb2
from protos.errors import CloudError, Kind


@dataclass(frozen=True)
class Known:
    """row: type (type_…), image (image_…) and key (public_key) columns. earlier: the reservation
    that the client token has made, "" for none, and the digest of its request."""

    row: object
    earlier: str
    earlier_digest: str


def read(
    session: Session, account_id: str, request: instances_pb2.RunInstancesRequest, type_name: str
) -> Known:
    """Raises INVALID for a type that is not there, NOT_FOUND for an image or key, WRONG_STATE for
    an image not available."""
    row = session.one(
        _query(
            account_id=account_id,
            type_name=type_name,
            image_id=request.image_id,
            key_name=request.key_name,
            client_token=request.client_token,
        )
    )
    if row is None:
        raise CloudError(
            Kind.NOT_FOUND,
            f"The account '{account_id}' does not exist",
            noun="account",
            id=account_id,
        )
    known = Known(row, row.reservation_id or "", row.request_digest or "")
    if known.earlier:
        return known
    if row.type_name is None:
        raise no_such_type(type_name)
    if row.image_id is None:
        raise not_found("image", request.image_id)
    if row.image_status in GONE:
        raise no_longer_available(request.image_id)
    if row.image_status != "active" or row.image_digest is None:
        raise CloudError(
            Kind.WRONG_STATE,
            f"The image '{request.image_id}' is not available.",
            noun="image",
            id=request.image_id,
            reason="unavailable",
        )
    if request.key_name and row.public_key is None:
        raise not_found("key-pair", request.key_name)
    if not runs_on(row.image_architecture, row.type_architecture):
        raise CloudError(
            Kind.INVALID,
            f"The architecture '{row.type_architecture}' of the specified instance type does not "
            f"match the architecture '{row.image_architecture}' of the specified AMI.",
            noun="parameter",
        )
    return known


@prepared
def _query(account_id, type_name, image_id, key_name, client_token) -> ModelSelect:
    own_key = (KeyPair.account_id == Account.account_id) & (KeyPair.key_name == key_name)
    shared = SHARES.with_account(Account.account_id)
    seen = Image.public | (Image.account_id == Account.account_id) | shared
    first = (
        (Instance.account_id == Account.account_id)
        & (Instance.client_token == client_token)
        & (Instance.client_token != "")
        & (Instance.ami_launch_index == 0)
    )
    return (
        Account.select(
            InstanceType.name.alias("type_name"),
            InstanceType.vcpus,
            InstanceType.memory_mib,
            InstanceType.burstable,
            InstanceType.architecture.alias("type_architecture"),
            InstanceType.maximum_network_interfaces,
            InstanceType.ipv4_addresses_per_interface,
            Image.image_id,
            Image.status.alias("image_status"),
            Image.architecture.alias("image_architecture"),
            Image.digest.alias("image_digest"),
            Image.disk_format,
            Image.size_bytes,
            Image.virtual_size_bytes,
            Image.root_device_name,
            Image.root_volume_size_gib,
            Image.root_delete_on_termination,
            Image.root_volume_type,
            Image.mapped_devices,
            Image.imds_support,
            KeyPair.public_key,
            Instance.reservation_id,
            Instance.request_digest,
        )
        .join(InstanceType, JOIN.LEFT_OUTER, on=InstanceType.name == type_name)
        .join(Image, JOIN.LEFT_OUTER, on=(Image.image_id == image_id) & seen)
        .join(KeyPair, JOIN.LEFT_OUTER, on=own_key)
        .join(Instance, JOIN.LEFT_OUTER, on=first)
        .where(Account.account_id == account_id)
    )


def candidates(session: Session, digest: str) -> list[Candidate]:
    """Every host as it is now, and whether it holds the image."""
    return [
        Candidate(
            *row[:12],
            address=row[12].rpartition(":")[0].strip("[]"),
            has_image=bool(row[13]),
            is_away=bool(row[14]),
        )
        for row in session.tuples(_hosts(digest=digest))
    ]


@prepared
def _hosts(digest) -> ModelSelect:
    return (
        Host.select(
            Host.host_id,
            Host.name,
            Host.availability_zone,
            Host.health,
            Host.hypervisor,
            Host.architecture,
            Host.vcpus,
            Host.memory_mib,
            Host.disk_gib,
            Host.vcpus_used,
            Host.memory_mib_used,
            Host.disk_gib_used,
            Host.endpoint,
            HostImage.digest,
            Host.hypervisor_away,
        )
        .join(
            HostImage,
            JOIN.LEFT_OUTER,
            on=(HostImage.host_id == Host.host_id) & (HostImage.digest == digest),
        )
        .order_by(Host.host_id)
    )


def hosts_of(session: Session, account_id: str, instance_ids: list[str]) -> frozenset[str]:
    """Where these instances of the account are: what the hints same_host and different_host
    mean."""
    query = (
        Placement.select(Placement.instance_id, Placement.host_id)
        .join(Instance, on=Instance.instance_id == Placement.instance_id)
        .where(
            Instance.account_id == account_id,
            Placement.instance_id.in_(instance_ids),
            Placement.live,
        )
    )
    found = dict(session.tuples(query))
    check_there("instance", instance_ids, found)
    return frozenset(found.values())
