"""Network interfaces as EC2 shows them: in DescribeNetworkInterfaces, and inside of instances."""

from gateway.aws.renderers import View
from gateway.ec2.views.shared import groups, tags
from protos.cloud.v1 import networks_pb2


def network_interface(given: networks_pb2.NetworkInterface) -> View:
    return _common(given, full=True) | {
        "Attachment": attachment(given, full=True),
        "AvailabilityZone": given.availability_zone,
        "RequesterManaged": False,
        "TagSet": tags(given.tags),
    }


def in_instance(given: networks_pb2.NetworkInterface) -> View:
    return _common(given, full=False) | {"Attachment": attachment(given, full=False)}


def _common(given: networks_pb2.NetworkInterface, *, full: bool) -> View:
    return {
        "NetworkInterfaceId": given.network_interface_id,
        "SubnetId": given.subnet_id,
        "VpcId": given.vpc_id,
        "Description": given.description,
        "OwnerId": given.owner_id,
        "Status": given.status,
        "MacAddress": given.mac_address,
        "PrivateIpAddress": given.private_ip_address,
        "PrivateDnsName": given.private_dns_name,
        "SourceDestCheck": given.source_dest_check,
        "Groups": groups(given.groups),
        "Ipv6Addresses": [],
        "Association": _association(given, full=full),
        "PrivateIpAddresses": [
            {
                "PrivateIpAddress": address.private_ip_address,
                "PrivateDnsName": address.private_dns_name,
                "Primary": address.primary,
                "Association": _association(address, full=full),
            }
            for address in given.private_ip_addresses
        ],
        "InterfaceType": "interface",
    }


def attachment(given: networks_pb2.NetworkInterface, *, full: bool) -> View | None:
    if not given.HasField("attachment"):
        return None
    shown: View = {
        "AttachmentId": given.attachment.attachment_id,
        "DeviceIndex": given.attachment.device_index,
        "Status": given.attachment.status,
        "AttachTime": given.attachment.attach_time_ms,
        "DeleteOnTermination": given.attachment.delete_on_termination,
        "NetworkCardIndex": 0,
    }
    if full:
        shown["InstanceId"] = given.attachment.instance_id
        shown["InstanceOwnerId"] = given.attachment.instance_owner_id
    return shown


def _association(
    given: networks_pb2.NetworkInterface | networks_pb2.InterfaceAddress, *, full: bool
) -> View | None:
    """Of the interface (its primary address), or of one of its addresses."""
    if not given.HasField("association"):
        return None
    association = given.association
    shown: View = {
        "PublicIp": association.public_ip,
        "PublicDnsName": association.public_dns_name,
        "IpOwnerId": association.ip_owner_id,
    }
    if full:
        shown["AllocationId"] = association.allocation_id
        shown["AssociationId"] = association.association_id
    return shown
