"""Every way in which a call can name something, for test_break_accounts: an action that takes an id
is to be in here once for each kind of thing that it names."""

RULE = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1}
OPEN = [{**RULE, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]

# What is asked for, the call, and its parameters made of the id and of what the thief has.
ATTEMPTS = [
    ("instance", "describe_instances", lambda id, own: {"InstanceIds": [id]}),
    ("instance", "describe_instances", lambda id, own: {"InstanceIds": [own["instance"], id]}),
    ("instance", "describe_instance_status", lambda id, own: {"InstanceIds": [id]}),
    ("instance", "start_instances", lambda id, own: {"InstanceIds": [id]}),
    ("instance", "stop_instances", lambda id, own: {"InstanceIds": [own["instance"], id]}),
    ("instance", "reboot_instances", lambda id, own: {"InstanceIds": [id]}),
    ("instance", "terminate_instances", lambda id, own: {"InstanceIds": [own["instance"], id]}),
    ("instance", "get_console_output", lambda id, own: {"InstanceId": id}),
    (
        "instance",
        "describe_instance_attribute",
        lambda id, own: {"InstanceId": id, "Attribute": "userData"},
    ),
    (
        "instance",
        "modify_instance_attribute",
        lambda id, own: {"InstanceId": id, "DisableApiTermination": {"Value": True}},
    ),
    (
        "group",
        "modify_instance_attribute",
        lambda id, own: {"InstanceId": own["instance"], "Groups": [id]},
    ),
    (
        "instance",
        "associate_address",
        lambda id, own: {"AllocationId": own["allocation"], "InstanceId": id},
    ),
    (
        "interface",
        "associate_address",
        lambda id, own: {"AllocationId": own["allocation"], "NetworkInterfaceId": id},
    ),
    (
        "allocation",
        "associate_address",
        lambda id, own: {"AllocationId": id, "InstanceId": own["instance"]},
    ),
    ("association", "disassociate_address", lambda id, own: {"AssociationId": id}),
    ("allocation", "release_address", lambda id, own: {"AllocationId": id}),
    ("group", "delete_security_group", lambda id, own: {"GroupId": id}),
    (
        "group",
        "authorize_security_group_ingress",
        lambda id, own: {"GroupId": id, "IpPermissions": OPEN},
    ),
    (
        "group",
        "authorize_security_group_ingress",
        lambda id, own: {
            "GroupId": own["group"],
            "IpPermissions": [{**RULE, "UserIdGroupPairs": [{"GroupId": id}]}],
        },
    ),
    (
        "rule",
        "revoke_security_group_egress",
        lambda id, own: {"GroupId": own["group"], "SecurityGroupRuleIds": [id]},
    ),
    (
        "vpc",
        "create_security_group",
        lambda id, own: {"GroupName": "g", "Description": "d", "VpcId": id},
    ),
    ("key", "describe_key_pairs", lambda id, own: {"KeyPairIds": [id]}),
    ("group", "describe_security_groups", lambda id, own: {"GroupIds": [id]}),
    ("rule", "describe_security_group_rules", lambda id, own: {"SecurityGroupRuleIds": [id]}),
    ("vpc", "describe_vpcs", lambda id, own: {"VpcIds": [id]}),
    ("subnet", "describe_subnets", lambda id, own: {"SubnetIds": [id]}),
    ("interface", "describe_network_interfaces", lambda id, own: {"NetworkInterfaceIds": [id]}),
    ("table", "describe_route_tables", lambda id, own: {"RouteTableIds": [id]}),
    ("gateway", "describe_internet_gateways", lambda id, own: {"InternetGatewayIds": [id]}),
    ("acl", "describe_network_acls", lambda id, own: {"NetworkAclIds": [id]}),
    ("volume", "describe_volumes", lambda id, own: {"VolumeIds": [id]}),
    ("allocation", "describe_addresses", lambda id, own: {"AllocationIds": [id]}),
    ("allocation", "describe_addresses_attribute", lambda id, own: {"AllocationIds": [id]}),
    ("instance", "monitor_instances", lambda id, own: {"InstanceIds": [own["instance"], id]}),
    ("instance", "get_password_data", lambda id, own: {"InstanceId": id}),
    ("instance", "modify_instance_metadata_options", lambda id, own: {"InstanceId": id}),
    ("instance", "describe_instance_credit_specifications", lambda id, own: {"InstanceIds": [id]}),
    ("instance", "create_image", lambda id, own: {"InstanceId": id, "Name": "mine"}),
    (
        "instance",
        "attach_volume",
        lambda id, own: {"VolumeId": own["volume"], "InstanceId": id, "Device": "/dev/sdf"},
    ),
    (
        "volume",
        "attach_volume",
        lambda id, own: {"VolumeId": id, "InstanceId": own["instance"], "Device": "/dev/sdf"},
    ),
    ("volume", "detach_volume", lambda id, own: {"VolumeId": id}),
    ("volume", "delete_volume", lambda id, own: {"VolumeId": id}),
    ("volume", "modify_volume", lambda id, own: {"VolumeId": id, "Size": 9}),
    ("volume", "describe_volume_status", lambda id, own: {"VolumeIds": [id]}),
    (
        "volume",
        "describe_volume_attribute",
        lambda id, own: {"VolumeId": id, "Attribute": "autoEnableIO"},
    ),
    ("volume", "describe_volumes_modifications", lambda id, own: {"VolumeIds": [id]}),
    ("volume", "create_snapshot", lambda id, own: {"VolumeId": id}),
    ("snapshot", "describe_snapshots", lambda id, own: {"SnapshotIds": [id]}),
    ("snapshot", "delete_snapshot", lambda id, own: {"SnapshotId": id}),
    (
        "snapshot",
        "create_volume",
        lambda id, own: {"AvailabilityZone": own["zone"], "SnapshotId": id},
    ),
    (
        "snapshot",
        "register_image",
        lambda id, own: {
            "Name": "mine",
            "RootDeviceName": "/dev/xvda",
            "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": id}}],
        },
    ),
    (
        "snapshot",
        "describe_snapshot_attribute",
        lambda id, own: {"SnapshotId": id, "Attribute": "createVolumePermission"},
    ),
    (
        "snapshot",
        "modify_snapshot_attribute",
        lambda id, own: {"SnapshotId": id, "CreateVolumePermission": {"Add": [{"Group": "all"}]}},
    ),
    (
        "snapshot",
        "reset_snapshot_attribute",
        lambda id, own: {"SnapshotId": id, "Attribute": "createVolumePermission"},
    ),
    ("image", "describe_images", lambda id, own: {"ImageIds": [id]}),
    ("image", "deregister_image", lambda id, own: {"ImageId": id}),
    ("image", "run_instances", lambda id, own: {"ImageId": id, "MinCount": 1, "MaxCount": 1}),
    (
        "image",
        "modify_image_attribute",
        lambda id, own: {"ImageId": id, "LaunchPermission": {"Add": [{"Group": "all"}]}},
    ),
    (
        "image",
        "describe_image_attribute",
        lambda id, own: {"ImageId": id, "Attribute": "launchPermission"},
    ),
    (
        "image",
        "reset_image_attribute",
        lambda id, own: {"ImageId": id, "Attribute": "launchPermission"},
    ),
    ("vpc", "delete_vpc", lambda id, own: {"VpcId": id}),
    (
        "vpc",
        "modify_vpc_attribute",
        lambda id, own: {"VpcId": id, "EnableDnsSupport": {"Value": False}},
    ),
    (
        "vpc",
        "describe_vpc_attribute",
        lambda id, own: {"VpcId": id, "Attribute": "enableDnsSupport"},
    ),
    ("vpc", "create_subnet", lambda id, own: {"VpcId": id, "CidrBlock": "172.31.250.0/24"}),
    ("vpc", "create_route_table", lambda id, own: {"VpcId": id}),
    (
        "vpc",
        "attach_internet_gateway",
        lambda id, own: {"VpcId": id, "InternetGatewayId": own["gateway"]},
    ),
    (
        "gateway",
        "attach_internet_gateway",
        lambda id, own: {"VpcId": own["vpc"], "InternetGatewayId": id},
    ),
    (
        "gateway",
        "detach_internet_gateway",
        lambda id, own: {"VpcId": own["vpc"], "InternetGatewayId": id},
    ),
    ("gateway", "delete_internet_gateway", lambda id, own: {"InternetGatewayId": id}),
    (
        "gateway",
        "create_route",
        lambda id, own: {
            "RouteTableId": own["table"],
            "DestinationCidrBlock": "192.0.2.0/24",
            "GatewayId": id,
        },
    ),
    (
        "interface",
        "create_route",
        lambda id, own: {
            "RouteTableId": own["table"],
            "DestinationCidrBlock": "192.0.2.0/24",
            "NetworkInterfaceId": id,
        },
    ),
    (
        "instance",
        "create_route",
        lambda id, own: {
            "RouteTableId": own["table"],
            "DestinationCidrBlock": "192.0.2.0/24",
            "InstanceId": id,
        },
    ),
    (
        "table",
        "create_route",
        lambda id, own: {
            "RouteTableId": id,
            "DestinationCidrBlock": "192.0.2.0/24",
            "GatewayId": own["gateway"],
        },
    ),
    (
        "table",
        "replace_route",
        lambda id, own: {
            "RouteTableId": id,
            "DestinationCidrBlock": "0.0.0.0/0",
            "GatewayId": own["gateway"],
        },
    ),
    (
        "table",
        "delete_route",
        lambda id, own: {"RouteTableId": id, "DestinationCidrBlock": "0.0.0.0/0"},
    ),
    ("table", "delete_route_table", lambda id, own: {"RouteTableId": id}),
    (
        "table",
        "associate_route_table",
        lambda id, own: {"RouteTableId": id, "SubnetId": own["subnet"]},
    ),
    (
        "subnet",
        "associate_route_table",
        lambda id, own: {"RouteTableId": own["table"], "SubnetId": id},
    ),
    (
        "table",
        "replace_route_table_association",
        lambda id, own: {"RouteTableId": id, "AssociationId": own["table association"]},
    ),
    (
        "table association",
        "replace_route_table_association",
        lambda id, own: {"RouteTableId": own["table"], "AssociationId": id},
    ),
    ("table association", "disassociate_route_table", lambda id, own: {"AssociationId": id}),
    ("subnet", "delete_subnet", lambda id, own: {"SubnetId": id}),
    (
        "subnet",
        "modify_subnet_attribute",
        lambda id, own: {"SubnetId": id, "MapPublicIpOnLaunch": {"Value": False}},
    ),
    ("dhcp options", "describe_dhcp_options", lambda id, own: {"DhcpOptionsIds": [id]}),
    ("dhcp options", "delete_dhcp_options", lambda id, own: {"DhcpOptionsId": id}),
    (
        "dhcp options",
        "associate_dhcp_options",
        lambda id, own: {"DhcpOptionsId": id, "VpcId": own["vpc"]},
    ),
    ("subnet", "create_network_interface", lambda id, own: {"SubnetId": id}),
    (
        "group",
        "create_network_interface",
        lambda id, own: {"SubnetId": own["subnet"], "Groups": [id]},
    ),
    ("interface", "delete_network_interface", lambda id, own: {"NetworkInterfaceId": id}),
    (
        "interface",
        "attach_network_interface",
        lambda id, own: {
            "NetworkInterfaceId": id,
            "InstanceId": own["instance"],
            "DeviceIndex": 1,
        },
    ),
    (
        "instance",
        "attach_network_interface",
        lambda id, own: {
            "NetworkInterfaceId": own["interface"],
            "InstanceId": id,
            "DeviceIndex": 1,
        },
    ),
    ("attachment", "detach_network_interface", lambda id, own: {"AttachmentId": id}),
    (
        "interface",
        "modify_network_interface_attribute",
        lambda id, own: {"NetworkInterfaceId": id, "SourceDestCheck": {"Value": False}},
    ),
    (
        "group",
        "modify_network_interface_attribute",
        lambda id, own: {"NetworkInterfaceId": own["interface"], "Groups": [id]},
    ),
    (
        "interface",
        "describe_network_interface_attribute",
        lambda id, own: {"NetworkInterfaceId": id, "Attribute": "groupSet"},
    ),
    (
        "interface",
        "assign_private_ip_addresses",
        lambda id, own: {"NetworkInterfaceId": id, "SecondaryPrivateIpAddressCount": 1},
    ),
    (
        "interface",
        "unassign_private_ip_addresses",
        lambda id, own: {"NetworkInterfaceId": id, "PrivateIpAddresses": ["172.31.0.9"]},
    ),
    (
        "rule",
        "modify_security_group_rules",
        lambda id, own: {
            "GroupId": own["group"],
            "SecurityGroupRules": [
                {
                    "SecurityGroupRuleId": id,
                    "SecurityGroupRule": {**RULE, "CidrIpv4": "0.0.0.0/0"},
                }
            ],
        },
    ),
]

# These have no DryRun.
WITHOUT_REHEARSAL = {
    "assign_private_ip_addresses",
    "modify_subnet_attribute",
    "modify_vpc_attribute",
    "unassign_private_ip_addresses",
}
