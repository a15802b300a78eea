"""VPCs, and what a VPC has, as EC2 shows them."""

from gateway.aws.renderers import View
from gateway.ec2.views.shared import arn, tags, tags_if_any
from protos.cloud.v1 import networks_pb2


def vpc(given: networks_pb2.Vpc) -> View:
    return {
        "VpcId": given.vpc_id,
        "OwnerId": given.owner_id,
        "State": given.state,
        "CidrBlock": given.cidr_block,
        "CidrBlockAssociationSet": [
            {
                "AssociationId": given.cidr_association_id,
                "CidrBlock": given.cidr_block,
                "CidrBlockState": {"State": "associated"},
            }
        ],
        "Ipv6CidrBlockAssociationSet": [],
        "DhcpOptionsId": given.dhcp_options_id,
        "InstanceTenancy": given.instance_tenancy,
        "IsDefault": given.is_default,
        "Tags": tags_if_any(given.tags),
    }


def subnet(given: networks_pb2.Subnet, region: str) -> View:
    return {
        "SubnetId": given.subnet_id,
        "SubnetArn": arn(region, given.owner_id, "subnet", given.subnet_id),
        "OwnerId": given.owner_id,
        "VpcId": given.vpc_id,
        "State": given.state,
        "CidrBlock": given.cidr_block,
        "Ipv6CidrBlockAssociationSet": [],
        "AvailabilityZone": given.availability_zone,
        "AvailabilityZoneId": given.availability_zone_id,
        "AvailableIpAddressCount": given.available_ip_address_count,
        "DefaultForAz": given.default_for_az,
        "MapPublicIpOnLaunch": given.map_public_ip_on_launch,
        "MapCustomerOwnedIpOnLaunch": False,
        "AssignIpv6AddressOnCreation": False,
        "EnableDns64": False,
        "Ipv6Native": False,
        "PrivateDnsNameOptionsOnLaunch": {
            "HostnameType": "ip-name",
            "EnableResourceNameDnsARecord": False,
            "EnableResourceNameDnsAAAARecord": False,
        },
        "Tags": tags_if_any(given.tags),
    }


def route_table(given: networks_pb2.RouteTable) -> View:
    return {
        "RouteTableId": given.route_table_id,
        "VpcId": given.vpc_id,
        "OwnerId": given.owner_id,
        "Routes": [
            {
                "DestinationCidrBlock": route.destination_cidr_block,
                "GatewayId": route.gateway_id or None,
                "NetworkInterfaceId": route.network_interface_id or None,
                "InstanceId": route.instance_id or None,
                "InstanceOwnerId": route.instance_owner_id or None,
                "State": route.state,
                "Origin": route.origin,
            }
            for route in given.routes
        ],
        "Associations": [
            {
                "RouteTableAssociationId": association.association_id,
                "RouteTableId": given.route_table_id,
                "SubnetId": association.subnet_id or None,  # the main one has none
                "Main": association.main,
                "AssociationState": {"State": "associated"},
            }
            for association in given.associations
        ],
        "PropagatingVgws": [],
        "Tags": tags(given.tags),
    }


def internet_gateway(given: networks_pb2.InternetGateway) -> View:
    return {
        "InternetGatewayId": given.internet_gateway_id,
        "OwnerId": given.owner_id,
        # EC2 says "available" of these, which the model's enumeration does not know.
        "Attachments": [{"VpcId": vpc_id, "State": "available"} for vpc_id in given.vpc_ids],
        "Tags": tags(given.tags),
    }


def dhcp_options(given: networks_pb2.DhcpOptions) -> View:
    return {
        "DhcpOptionsId": given.dhcp_options_id,
        "OwnerId": given.owner_id,
        "DhcpConfigurations": [
            {"Key": option.key, "Values": [{"Value": value} for value in option.values]}
            for option in given.options
        ],
        "Tags": tags(given.tags),
    }


def network_acl(given: networks_pb2.NetworkAcl) -> View:
    return {
        "NetworkAclId": given.network_acl_id,
        "VpcId": given.vpc_id,
        "OwnerId": given.owner_id,
        "IsDefault": given.is_default,
        "Entries": [
            {
                "RuleNumber": entry.rule_number,
                "Protocol": entry.protocol,
                "RuleAction": entry.rule_action,
                "Egress": entry.egress,
                "CidrBlock": entry.cidr_block,
            }
            for entry in given.entries
        ],
        "Associations": [
            {
                "NetworkAclAssociationId": association.association_id,
                "NetworkAclId": given.network_acl_id,
                "SubnetId": association.subnet_id,
            }
            for association in given.associations
        ],
        "Tags": tags(given.tags),
    }
