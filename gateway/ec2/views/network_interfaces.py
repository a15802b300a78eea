"""Network interfaces as EC2 shows them: in DescribeNetworkInterfaces, and inside of instances."""

from gateway.ec2.views.shared import groups, tags
from protos.cloud.v1 import networks_pb2


def network_interface(given: networks_pb2.NetworkInterface) -> dict:
    association = _association(given, full=True)
    return _common(given, association) | {
        "Attachment": _attachment(given, full=True),
        "Association": association,
        "AvailabilityZone": given.availability_zone,
        "RequesterManaged": False,
        "TagSet": tags(given.tags),
    }


def in_instance(given: networks_pb2.NetworkInterface) -> dict:
    association = _association(given, full=False)
    return _common(given, association) | {
        "Attachment": _attachment(given, full=False),
        "Association": association,
    }


def _common(given: networks_pb2.NetworkInterface, association: dict | None) -> dict:
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
        "PrivateIpAddresses": [
            {
                "PrivateIpAddress": given.private_ip_address,
                "PrivateDnsName": given.private_dns_name,
                "Primary": True,
                "Association": association,
            }
        ],
        "InterfaceType": "interface",
    }


def _attachment(given: networks_pb2.NetworkInterface, *, full: bool) -> dict | None:
    if not given.HasField("attachment"):
        return None
    attachment = given.attachment
    shown = {
        "AttachmentId": attachment.attachment_id,
        "DeviceIndex": attachment.device_index,
        "Status": attachment.status,
        "AttachTime": attachment.attach_time_ms,
        "DeleteOnTermination": attachment.delete_on_termination,
        "NetworkCardIndex": 0,
    }
    if full:
        shown["InstanceId"] = attachment.instance_id
        shown["InstanceOwnerId"] = attachment.instance_owner_id
    return shown


def _association(given: networks_pb2.NetworkInterface, *, full: bool) -> dict | None:
    if not given.HasField("association"):
        return None
    association = given.association
    shown = {
        "PublicIp": association.public_ip,
        "PublicDnsName": association.public_dns_name,
        "IpOwnerId": association.ip_owner_id,
    }
    if full:
        shown["AllocationId"] = association.allocation_id
        shown["AssociationId"] = association.association_id
    return shown
