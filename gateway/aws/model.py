"""Service models: what operations there are and what their members are called on the wire.

botocore ships AWS's own models as data; we read its files (its loader would bring 3 MB of code) and
leave the documentation out (it is nine tenths of them). Where the model of today falls short of
what AWS answers or of what old clients read, the difference is declared in PATCHES, one line and
one reason each, and nowhere else.

Called by the parsers, the renderers and the endpoint. Promises: a loaded Service never changes.
"""

import functools
import gzip
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import botocore

# Members that the model of today has not: (service, shape, member, shape of it, name on the wire).
# libcloud and boto 2 look for <return>true</return> and take its absence for failure. Eucalyptus
# had a DescribeInstanceTypes of its own, years before AWS had one of that name.
ADDED_MEMBERS = [
    ("ec2", "AssociateAddressResult", "Return", "Boolean", "return"),
    ("ec2", "CreateSecurityGroupResult", "Return", "Boolean", "return"),
    ("ec2", "DescribeInstanceTypesRequest", "Availability", "Boolean", "availability"),
    ("ec2", "DescribeInstanceTypesResult", "Details", "EucalyptusTypes", "instanceTypeDetails"),
]

# Shapes of those members, as botocore writes them down. The namespace is the one in which
# libcloud's Eucalyptus driver looks for them; boto 2 and euca2ools look at no namespaces.
ADDED_SHAPES = {
    "EucalyptusTypes": {
        "type": "list",
        "member": {"shape": "EucalyptusType", "locationName": "item"},
        "xmlNamespace": {"uri": "http://msgs.eucalyptus.com/3.3.0"},
    },
    "EucalyptusType": {
        "type": "structure",
        "members": {
            "Name": {"shape": "String", "locationName": "name"},
            "Cpu": {"shape": "Integer", "locationName": "cpu"},
            "Disk": {"shape": "Integer", "locationName": "disk"},  # GiB
            "Memory": {"shape": "Long", "locationName": "memory"},  # MiB
            "Availability": {"shape": "EucalyptusZones", "locationName": "availability"},
        },
    },
    "EucalyptusZones": {
        "type": "list",
        "member": {"shape": "EucalyptusZone", "locationName": "item"},
    },
    "EucalyptusZone": {
        "type": "structure",
        "members": {
            "ZoneName": {"shape": "String", "locationName": "zoneName"},
            "Max": {"shape": "Long", "locationName": "max"},
            "Available": {"shape": "Long", "locationName": "available"},
        },
    },
}

# Enumerations that are not closed here, since the controller knows their values: instance types are
# rows in the operator's catalogue, and the model has two account attributes of the six that EC2's
# reference describes and libcloud asks for (max-instances ...).
OPEN_ENUMS = [("ec2", "InstanceType"), ("ec2", "AccountAttributeName")]

# Scalars that are written although empty, as EC2 writes them. Clients and scripts read them without
# asking whether they are there: a tag's value may be empty, a volume be made of no snapshot, a
# pending instance have no names yet, a public address have none where the VPC gives none, a Linux
# guest have no password, and nobody need describe a thing or send a token. (Sources: the samples in
# the aws CLI's documentation and recorded answers of EC2.)
WRITTEN_EMPTY = [
    ("ec2", "Tag", "Value"),
    ("ec2", "TagDescription", "Value"),
    ("ec2", "Instance", "ClientToken"),
    ("ec2", "Instance", "PrivateDnsName"),
    ("ec2", "Instance", "PublicDnsName"),
    ("ec2", "Instance", "StateTransitionReason"),
    ("ec2", "InstanceNetworkInterface", "Description"),
    ("ec2", "InstanceNetworkInterfaceAssociation", "PublicDnsName"),
    ("ec2", "NetworkInterface", "Description"),
    ("ec2", "NetworkInterfaceAssociation", "PublicDnsName"),
    ("ec2", "Placement", "GroupName"),
    ("ec2", "Volume", "SnapshotId"),
    ("ec2", "Snapshot", "Description"),
    ("ec2", "Image", "Description"),
    ("ec2", "GetPasswordDataResult", "PasswordData"),
]

# botocore's own dicts: type, members, member, enum, required, min, max.
Shape: TypeAlias = dict[str, Any]

API_VERSIONS = {"ec2": "2016-11-15", "iam": "2010-05-08", "sts": "2011-06-15"}


@dataclass(frozen=True)
class Operation:
    """One operation.

    ``input`` and ``output`` are names of structure shapes; output None = nothing but success.
    """

    name: str
    input: str | None
    output: str | None


@dataclass(frozen=True)
class Service:
    """A service's model.

    ``shapes`` by name.
    """

    name: str
    dialect: str  # "ec2" | "query"
    api_version: str
    operations: dict[str, Operation]
    shapes: dict[str, Shape] = field(repr=False)
    written_empty: frozenset[tuple[str, str]] = frozenset()

    def members(self, shape: str | None) -> dict[str, Shape]:
        """A structure's members by name; none of an operation without input or output."""
        members: dict[str, Shape] = self.shapes[shape]["members"] if shape else {}
        return members

    def namespace(self, version: str) -> str:
        """The XML namespace of an answer to a client that asked for ``version``.

        EC2's old clients look under theirs.
        """
        if self.dialect == "ec2":
            return f"http://ec2.amazonaws.com/doc/{version}/"
        return f"https://{self.name}.amazonaws.com/doc/{self.api_version}/"

    def input_name(self, member: str, definition: Shape) -> str:
        """What a member is called in a request.

        EC2 capitalises the first letter of the wire name.
        """
        name: str | None = definition.get("queryName") or definition.get("locationName")
        if name is None:
            return member
        return name[0].upper() + name[1:] if self.dialect == "ec2" else name

    def output_name(self, member: str, definition: Shape) -> str:
        """What a member is called in an answer."""
        name: str = definition.get("locationName", member)
        return name


@functools.cache
def load(name: str) -> Service:
    """The model of "ec2", "iam" or "sts". Reading it costs some 100 ms; done once a process."""
    version = API_VERSIONS[name]
    path = Path(botocore.__file__).parent / "data" / name / version / "service-2.json.gz"
    with gzip.open(path) as file:
        document = json.load(file, object_hook=_without_documentation)
    shapes = document["shapes"]
    _patch(name, shapes)
    operations = {
        operation: Operation(
            operation,
            definition.get("input", {}).get("shape"),
            definition.get("output", {}).get("shape"),
        )
        for operation, definition in document["operations"].items()
    }
    return Service(
        name=name,
        dialect="ec2" if document["metadata"]["protocol"] == "ec2" else "query",
        api_version=version,
        operations=operations,
        shapes=shapes,
        written_empty=_written_empty(name, shapes),
    )


def _written_empty(name: str, shapes: dict[str, Shape]) -> frozenset[tuple[str, str]]:
    """Raises KeyError for a member that there is not: it would never be written."""
    known = [(shape, member) for owner, shape, member in WRITTEN_EMPTY if owner == name]
    for shape, member in known:
        _ = shapes[shape]["members"][member]
    return frozenset(known)


def _patch(name: str, shapes: dict[str, Shape]) -> None:
    if name == "ec2":
        shapes.update(ADDED_SHAPES)
    for service, shape, member, kind, wire_name in ADDED_MEMBERS:
        if service == name:
            shapes[shape]["members"][member] = {"shape": kind, "locationName": wire_name}
    for service, shape in OPEN_ENUMS:
        if service == name:
            del shapes[shape]["enum"]


def _without_documentation(node: Shape) -> Shape:
    # A *string* under this key is documentation; IAM has a member of that name, which is a dict.
    if isinstance(node.get("documentation"), str):
        del node["documentation"]
    return node
