"""The nouns, each declared once: what its ids begin with, EC2's codes and words, tags, quotas.

Read by ``protos/ids``, by the controller's lookup, tags and quotas, by the gateway's error table
and its coverage page. What needs a table (whose rows they are) is declared in the controller, with
the noun's rules (``controller/kernel/owned``). CONTRIBUTING.md says how to add one.
"""

from protos.errors import Kind
from protos.noun import Noun, Quota

_EXISTS, _WRONG, _NOT_FOUND = (Kind.EXISTS, ""), (Kind.WRONG_STATE, ""), (Kind.NOT_FOUND, "")
_IN_USE, _QUOTA, _FULL = (Kind.WRONG_STATE, "in-use"), (Kind.QUOTA, ""), (Kind.NO_CAPACITY, "")
_TAKEN = "Resource.AlreadyAssociated"
_STORAGE = "You have exceeded your maximum of {maximum} "

_COMPUTE = (
    Noun(
        *("instance", "i"),
        tagged=True,
        malformed="InvalidInstanceID.Malformed",
        quotas=(
            Quota(
                *("instances", 100),
                words="You have requested more instances ({total}) than your current instance "
                "limit of {maximum} allows.",
            ),
        ),
        codes={
            _WRONG: "IncorrectInstanceState",
            (Kind.WRONG_STATE, "termination-protected"): "OperationNotPermitted",
            (Kind.WRONG_STATE, "stop-protected"): "OperationNotPermitted",
            (Kind.WRONG_STATE, "no-host"): "IncorrectInstanceState",
            (Kind.WRONG_STATE, "terminated-client-token"): "IdempotentInstanceTerminated",
            (Kind.WRONG_STATE, "already-associated"): _TAKEN,
            (Kind.WRONG_STATE, "not-running"): "IncorrectState",
            _FULL: "InsufficientInstanceCapacity",
        },
    ),
    Noun("reservation", "r", malformed="InvalidReservationID.Malformed"),
    Noun("placement", "pl", named=False),
    Noun(
        "vcpus",
        named=False,
        quotas=(
            Quota(
                *("vcpus", 200),
                words="You have requested more vCPU capacity than your current vCPU limit of "
                "{maximum} allows.",
            ),
        ),
        codes={_QUOTA: "VcpuLimitExceeded"},
    ),
    Noun(
        "memory",
        named=False,
        quotas=(
            Quota(
                *("memory_mib", 512 * 1024),
                words="You have requested more memory than your current limit of {maximum} MiB "
                "allows.",
            ),
        ),
        codes={_QUOTA: "InstanceLimitExceeded"},  # EC2 counts none; the message says what ran out
    ),
    Noun(
        *("key-pair", "key"),
        tagged=True,
        not_found="InvalidKeyPair.NotFound",
        malformed=None,
        absent="The key pair{s} '{ids}' {do} not exist",
        quotas=(Quota("key_pairs", 500),),
        codes={_EXISTS: "InvalidKeyPair.Duplicate"},
    ),
)

_NETWORK = (
    Noun(
        *("elastic-ip", "eipalloc"),
        tagged=True,
        not_found="InvalidAllocationID.NotFound",
        malformed=None,
        absent="The allocation ID{s} '{ids}' {do} not exist",
        quotas=(Quota("addresses", 20, words="The maximum number of addresses has been reached."),),
        codes={
            (Kind.NOT_FOUND, "public-ip"): "InvalidAddress.NotFound",
            _EXISTS: "InvalidIPAddress.InUse",
            _WRONG: "InvalidIPAddress.InUse",
            _IN_USE: "InvalidIPAddress.InUse",
            _QUOTA: "AddressLimitExceeded",
            _FULL: "InsufficientAddressCapacity",
        },
    ),
    Noun(
        *("elastic-ip-association", "eipassoc"),
        not_found="InvalidAssociationID.NotFound",
        malformed=None,
        absent="The association ID{s} '{ids}' {do} not exist",
        codes={_EXISTS: _TAKEN, _WRONG: _TAKEN},
    ),
    Noun(
        *("security-group", "sg"),
        tagged=True,
        not_found="InvalidGroup.NotFound",
        malformed="InvalidGroupId.Malformed",
        absent="The security group{s} '{ids}' {do} not exist",
        quotas=(Quota("security_groups", 500),),
        codes={
            _EXISTS: "InvalidGroup.Duplicate",
            (Kind.WRONG_STATE, "default"): "CannotDelete",
        },
    ),
    Noun(
        *("security-group-rule", "sgr"),
        tagged=True,
        not_found="InvalidSecurityGroupRuleId.NotFound",
        absent="The security group rule ID{s} '{ids}' {do} not exist",
        quotas=(Quota("rules_per_group", 60),),
        codes={
            (Kind.NOT_FOUND, "permission"): "InvalidPermission.NotFound",
            _EXISTS: "InvalidPermission.Duplicate",
            _QUOTA: "RulesPerSecurityGroupLimitExceeded",
        },
    ),
    Noun(
        *("network-interface", "eni"),
        tagged=True,
        quotas=(Quota("network_interfaces", 5000),),
        codes={
            _EXISTS: "InvalidIPAddress.InUse",  # the private address asked for
            _IN_USE: "InvalidNetworkInterface.InUse",
        },
    ),
    Noun(
        *("network-interface-attachment", "eni-attach"),
        not_found="InvalidAttachmentID.NotFound",
        absent="The interface attachment ID{s} '{ids}' {do} not exist",
        codes={
            (Kind.WRONG_STATE, "primary"): "OperationNotPermitted",
            _QUOTA: "AttachmentLimitExceeded",
        },
    ),
    Noun(
        *("vpc", "vpc"),
        tagged=True,
        malformed=None,
        quotas=(
            Quota("vpcs", 5, words="The maximum number of VPCs ({maximum}) has been reached."),
        ),
        codes={
            (Kind.NOT_FOUND, "no-default"): "VPCIdNotSpecified",
            (Kind.NOT_FOUND, "default"): "DefaultVpcDoesNotExist",
            (Kind.EXISTS, "default"): "DefaultVpcAlreadyExists",
        },
    ),
    Noun("vpc-cidr-association", "vpc-cidr-assoc", named=False),
    Noun(
        *("subnet", "subnet"),
        tagged=True,
        malformed=None,
        quotas=(Quota("subnets_per_vpc", 200),),
        codes={
            (Kind.NOT_FOUND, "no-default"): "MissingInput",
            _EXISTS: "InvalidSubnet.Conflict",
            (Kind.EXISTS, "default"): "DefaultSubnetAlreadyExistsInAvailabilityZone",
            _FULL: "InsufficientFreeAddressesInSubnet",
        },
    ),
    Noun(
        *("internet-gateway", "igw"),
        tagged=True,
        quotas=(Quota("internet_gateways", follows="vpcs"),),
        codes={_EXISTS: _TAKEN, (Kind.WRONG_STATE, "not-attached"): "Gateway.NotAttached"},
    ),
    Noun(
        *("route-table", "rtb"),
        tagged=True,
        quotas=(Quota("route_tables_per_vpc", 200),),
    ),
    Noun(
        *("route-table-association", "rtbassoc"),
        not_found="InvalidAssociationID.NotFound",
        malformed=None,
        absent="The association ID{s} '{ids}' {do} not exist",
        codes={_EXISTS: _TAKEN},
    ),
    Noun(
        "route",
        not_found="InvalidRoute.NotFound",
        quotas=(Quota("routes_per_table", 50),),
        codes={_EXISTS: "RouteAlreadyExists"},
    ),
    Noun("network-acl", "acl", tagged=True),
    Noun("network-acl-association", "aclassoc", named=False),
    Noun("dhcp-options", "dopt", tagged=True, not_found="InvalidDhcpOptionID.NotFound"),
)

_STORED = (
    Noun(
        *("image", "ami"),
        tagged=True,
        shared=True,
        not_found="InvalidAMIID.NotFound",
        malformed="InvalidAMIID.Malformed",
        absent="The image id{s} '[{ids}]' {do} not exist",
        # Everybody finds a public image: that is a right, which the operator gives.
        quotas=(Quota("public_images_per_account", 0),),
        codes={
            _EXISTS: "InvalidAMIName.Duplicate",
            _WRONG: "InvalidAMIID.Unavailable",
            (Kind.WRONG_STATE, "unavailable"): "InvalidAMIID.Unavailable",
            _IN_USE: "InvalidAMIID.Unavailable",
            _QUOTA: "ResourceLimitExceeded",  # also of those that it is shared with
        },
    ),
    Noun(
        *("volume", "vol"),
        tagged=True,
        not_found="InvalidVolume.NotFound",
        malformed="InvalidVolumeID.Malformed",
        absent="The volume{s} '{ids}' {do} not exist.",
        quotas=(
            Quota("volumes", 500, words=_STORAGE + "volumes."),
            Quota(
                *("gigabytes", 50 * 1024),
                words=_STORAGE
                + "GiB of storage: {used} GiB are used, {amount} GiB were requested.",
            ),
        ),
        codes={
            (Kind.NOT_FOUND, "attachment"): "InvalidAttachment.NotFound",
            _IN_USE: "VolumeInUse",
            (Kind.WRONG_STATE, "root"): "OperationNotPermitted",
            (Kind.WRONG_STATE, "modifying"): "IncorrectModificationState",
            _FULL: "InsufficientVolumeCapacity",
        },
    ),
    Noun(
        "volume-modification",  # its code is undocumented; CSI tells by it
        absent="Modification for volume{s} '{ids}' {do} not exist.",
        not_found="InvalidVolumeModification.NotFound",
    ),
    Noun(
        *("snapshot", "snap"),
        tagged=True,
        shared=True,
        not_found="InvalidSnapshot.NotFound",
        malformed="InvalidSnapshotID.Malformed",
        absent="The snapshot{s} '{ids}' {do} not exist.",
        quotas=(Quota("snapshots", 10_000, words=_STORAGE + "snapshots."),),
        codes={_IN_USE: "InvalidSnapshot.InUse"},
    ),
)

_HOSTS = (
    Noun(  # the operator's, who names them by the JSON API
        *("host", "h"),
        named=False,
        codes={
            _NOT_FOUND: "InvalidParameterValue",
            _EXISTS: "InvalidParameterValue",
            _WRONG: "IncorrectState",
        },
    ),
)

# Of these there is none here (gateway/ec2/empty_nouns). The codes of transit gateways and pools are
# undocumented: Terraform's provider tells an absent one by them.
_NONE_HERE = (
    Noun("spot-instances-request", not_found="InvalidSpotInstanceRequestID.NotFound"),
    Noun("reserved-instances", not_found="InvalidReservedInstancesId"),
    Noun("reserved-instances-offering", not_found="InvalidReservedInstancesOfferingId"),
    Noun("dedicated-host", not_found="InvalidHostID.NotFound"),
    Noun("capacity-reservation", not_found="InvalidCapacityReservationId.NotFound"),
    Noun("placement-group", not_found="InvalidPlacementGroup.Unknown"),
    Noun("launch-template", not_found="InvalidLaunchTemplateId.NotFound"),
    Noun("launch-template-name", not_found="InvalidLaunchTemplateName.NotFoundException"),
    Noun("iam-instance-profile-association", not_found="InvalidAssociationID.NotFound"),
    Noun("natgateway", not_found="NatGatewayNotFound"),
    Noun("vpc-endpoint", not_found="InvalidVpcEndpointId.NotFound"),
    Noun("vpc-endpoint-service", not_found="InvalidServiceName"),
    Noun("prefix-list"),
    Noun("egress-only-internet-gateway", not_found="InvalidEgressOnlyInternetGatewayId.NotFound"),
    Noun("carrier-gateway"),
    Noun("vpn-gateway"),
    Noun("customer-gateway"),
    Noun("vpn-connection"),
    Noun("client-vpn-endpoint", not_found="InvalidClientVpnEndpointId.NotFound"),
    Noun("vpc-peering-connection"),
    Noun("transit-gateway"),
    Noun("transit-gateway-attachment"),
    Noun("vpc-flow-log", not_found="InvalidFlowLogId.NotFound"),
    Noun("ipv4pool-ec2", not_found="InvalidPublicIpv4PoolID.NotFound"),
    Noun("coip-pool", not_found="InvalidPoolID.NotFound"),
    Noun("fpga-image"),
    Noun("bundle-task", not_found="InvalidBundleID.NotFound"),
    Noun("conversion-task", not_found="InvalidConversionTaskId"),
    Noun("export-instance-task", not_found="InvalidExportTaskID.NotFound"),
)

NOUNS = {noun.name: noun for noun in (*_COMPUTE, *_NETWORK, *_STORED, *_HOSTS, *_NONE_HERE)}
# In the order in which a refusal names what is short: instances first, as EC2 does.
QUOTAS = {quota.name: (quota, noun) for noun in NOUNS.values() for quota in noun.quotas}
