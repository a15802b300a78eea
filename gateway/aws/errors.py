"""What a failure is called in AWS's languages: (kind, noun, reason) -> code, HTTP status, XML.

The convention, which the controller follows when it raises a CloudError. ``noun`` is EC2's resource
type ("instance", "image", "security-group" ...). The kind says which table, the noun or the reason
which row:

    kind          chosen by     example                             gives
    INVALID       reason        reason="parameter-combination"      InvalidParameterCombination
                                no reason                           InvalidParameterValue
    MALFORMED_ID  noun          noun="instance"                     InvalidInstanceID.Malformed
    NOT_FOUND     noun, reason  noun="elastic-ip"                   InvalidAllocationID.NotFound
                                ... and reason="public-ip"          InvalidAddress.NotFound
    EXISTS        noun, reason  noun="security-group-rule"          InvalidPermission.Duplicate
    WRONG_STATE   noun, reason  noun="instance"                     IncorrectInstanceState
                                ... reason="termination-protected"  OperationNotPermitted
    QUOTA         noun          noun="vcpus"                        VcpuLimitExceeded
    NO_CAPACITY   noun          noun="subnet"                       InsufficientFreeAddressesIn...
    the others    the kind      DENIED                              UnauthorizedOperation, 403

A combination without a row is a mistake: tests/unit/gateway/test_wire_errors.py looks for all that
the controller's source raises. In production it is answered by its kind's own row, and logged. The
codes are AWS's documented ones ("Error codes for the Amazon EC2 API"), irregular as they are; those
that AWS answers without documenting them are marked.
"""

import logging
from dataclasses import dataclass

from gateway.aws.renderers import escape
from protos.errors import CloudError, Kind

log = logging.getLogger(__name__)

XML_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


@dataclass(frozen=True)
class Answer:
    """An EC2 error.

    Its code and HTTP status, 400 unless clients tell it apart by that (docs/ec2.md, trap 9).
    """

    code: str
    status: int = 400


def _rows(**codes: str) -> dict[str, Answer]:
    return {name.replace("_", "-"): Answer(code) for name, code in codes.items()}


_INVALID = {  # by reason
    "": Answer("InvalidParameterValue"),
    "unknown-action": Answer("InvalidAction"),
    "missing-action": Answer("MissingAction"),
    "version": Answer("NoSuchVersion"),
    "malformed-query": Answer("MalformedQueryString"),
    "too-large": Answer("RequestEntityTooLarge", 413),  # undocumented; EC2's front end answers so
    "method": Answer("InvalidRequest", 405),
    "incomplete-body": Answer("RequestTimeout", 408),  # undocumented; the SDKs retry at it
    "request-expired": Answer("RequestExpired"),
    "incomplete-signature": Answer("IncompleteSignature"),
} | _rows(
    parameter_value="InvalidParameterValue",
    parameter_combination="InvalidParameterCombination",
    parameter_dependency="InvalidParameterDependency",
    missing_parameter="MissingParameter",
    unknown_parameter="UnknownParameter",
    block_device_mapping="InvalidBlockDeviceMapping",
    permission_malformed="InvalidPermission.Malformed",
    group_reserved="InvalidGroup.Reserved",
    key_format="InvalidKey.Format",
    next_token="InvalidNextToken",
    group_id_malformed="InvalidGroupId.Malformed",
    tag_key_malformed="InvalidTagKey.Malformed",
    image_name_malformed="InvalidAMIName.Malformed",
    attribute_value="InvalidInstanceAttributeValue",
    filter_limit="FilterLimitExceeded",
    zone_mismatch="InvalidVolume.ZoneMismatch",
    credits_not_supported="InstanceCreditSpecification.NotSupported",
    several_interfaces="InvalidInstanceID",
    client_token="InvalidClientToken",
    manifest="InvalidManifest",
    different_networks="InvalidParameter",
    vpc_range="InvalidVpc.Range",  # undocumented: the list has InvalidVpcRange, EC2 answers this
    subnet_range="InvalidSubnet.Range",
)

_MALFORMED_ID = _rows(
    instance="InvalidInstanceID.Malformed",
    reservation="InvalidReservationID.Malformed",
    image="InvalidAMIID.Malformed",
    volume="InvalidVolumeID.Malformed",
    snapshot="InvalidSnapshotID.Malformed",
    network_interface="InvalidNetworkInterfaceId.Malformed",
    network_interface_attachment="InvalidNetworkInterfaceAttachmentId.Malformed",
    security_group="InvalidGroupId.Malformed",
    security_group_rule="InvalidSecurityGroupRuleId.Malformed",
    route_table="InvalidRouteTableId.Malformed",
    internet_gateway="InvalidInternetGatewayId.Malformed",
    network_acl="InvalidNetworkAclId.Malformed",
    dhcp_options="InvalidDhcpOptionsId.Malformed",
) | {
    "": Answer("InvalidID"),
    "tag": Answer("InvalidID"),  # an id of no shape at all, where any resource's would do
}

_NOT_FOUND = {  # by (noun, reason)
    (noun, ""): answer
    for noun, answer in _rows(
        instance="InvalidInstanceID.NotFound",
        reservation="InvalidReservationID.NotFound",
        image="InvalidAMIID.NotFound",
        volume="InvalidVolume.NotFound",
        volume_modification="InvalidVolumeModification.NotFound",  # undocumented; CSI tells by it
        snapshot="InvalidSnapshot.NotFound",
        vpc="InvalidVpcID.NotFound",
        subnet="InvalidSubnetID.NotFound",
        network_interface="InvalidNetworkInterfaceID.NotFound",
        network_interface_attachment="InvalidAttachmentID.NotFound",
        security_group="InvalidGroup.NotFound",
        security_group_rule="InvalidSecurityGroupRuleId.NotFound",
        key_pair="InvalidKeyPair.NotFound",
        elastic_ip="InvalidAllocationID.NotFound",
        elastic_ip_association="InvalidAssociationID.NotFound",
        route_table="InvalidRouteTableID.NotFound",
        route_table_association="InvalidAssociationID.NotFound",
        internet_gateway="InvalidInternetGatewayID.NotFound",
        network_acl="InvalidNetworkAclID.NotFound",
        dhcp_options="InvalidDhcpOptionID.NotFound",
        # Of which there is none here (gateway/ec2/empty_nouns).
        spot_instances_request="InvalidSpotInstanceRequestID.NotFound",
        reserved_instances="InvalidReservedInstancesId",
        reserved_instances_offering="InvalidReservedInstancesOfferingId",
        dedicated_host="InvalidHostID.NotFound",
        capacity_reservation="InvalidCapacityReservationId.NotFound",
        placement_group="InvalidPlacementGroup.Unknown",
        launch_template="InvalidLaunchTemplateId.NotFound",
        launch_template_name="InvalidLaunchTemplateName.NotFoundException",
        iam_instance_profile_association="InvalidAssociationID.NotFound",
        natgateway="NatGatewayNotFound",
        vpc_endpoint="InvalidVpcEndpointId.NotFound",
        vpc_endpoint_service="InvalidServiceName",
        prefix_list="InvalidPrefixListID.NotFound",
        egress_only_internet_gateway="InvalidEgressOnlyInternetGatewayId.NotFound",
        carrier_gateway="InvalidCarrierGatewayID.NotFound",
        vpn_gateway="InvalidVpnGatewayID.NotFound",
        customer_gateway="InvalidCustomerGatewayID.NotFound",
        vpn_connection="InvalidVpnConnectionID.NotFound",
        client_vpn_endpoint="InvalidClientVpnEndpointId.NotFound",
        vpc_peering_connection="InvalidVpcPeeringConnectionID.NotFound",
        transit_gateway="InvalidTransitGatewayID.NotFound",
        transit_gateway_attachment="InvalidTransitGatewayAttachmentID.NotFound",
        vpc_flow_log="InvalidFlowLogId.NotFound",
        ipv4pool_ec2="InvalidPublicIpv4PoolID.NotFound",
        coip_pool="InvalidPoolID.NotFound",
        fpga_image="InvalidFpgaImageID.NotFound",
        bundle_task="InvalidBundleID.NotFound",
        conversion_task="InvalidConversionTaskId",
        export_instance_task="InvalidExportTaskID.NotFound",
        # Not resources of EC2's but values of its parameters; it says so.
        instance_type="InvalidInstanceType",
        availability_zone="InvalidParameterValue",
        region="InvalidParameterValue",
        parameter="InvalidParameterValue",
        account="InvalidParameterValue",
        quota="InvalidParameterValue",
        host="InvalidParameterValue",
        access_key="InvalidParameterValue",
        tag="InvalidParameterValue",
    ).items()
} | {
    ("elastic-ip", "public-ip"): Answer("InvalidAddress.NotFound"),
    ("security-group-rule", "permission"): Answer("InvalidPermission.NotFound"),
    ("volume", "attachment"): Answer("InvalidAttachment.NotFound"),
    ("availability-zone", "zone"): Answer("InvalidZone.NotFound"),
    ("vpc", "no-default"): Answer("VPCIdNotSpecified"),
    ("vpc", "default"): Answer("DefaultVpcDoesNotExist"),
    ("gateway", ""): Answer("InvalidGatewayID.NotFound"),  # as a route's target
    ("route", ""): Answer("InvalidRoute.NotFound"),
    ("subnet", "no-default"): Answer("MissingInput"),
    ("", ""): Answer("InvalidID"),
}

_EXISTS = {
    ("key-pair", ""): Answer("InvalidKeyPair.Duplicate"),
    ("security-group", ""): Answer("InvalidGroup.Duplicate"),
    ("security-group-rule", ""): Answer("InvalidPermission.Duplicate"),
    ("elastic-ip-association", ""): Answer("Resource.AlreadyAssociated"),
    ("elastic-ip", ""): Answer("InvalidIPAddress.InUse"),
    ("network-interface", ""): Answer("InvalidIPAddress.InUse"),  # the private address asked for
    ("image", ""): Answer("InvalidAMIName.Duplicate"),
    ("vpc", "default"): Answer("DefaultVpcAlreadyExists"),
    ("subnet", ""): Answer("InvalidSubnet.Conflict"),
    ("subnet", "default"): Answer("DefaultSubnetAlreadyExistsInAvailabilityZone"),
    ("internet-gateway", ""): Answer("Resource.AlreadyAssociated"),
    ("route-table-association", ""): Answer("Resource.AlreadyAssociated"),
    ("route", ""): Answer("RouteAlreadyExists"),
    ("client-token", ""): Answer("IdempotentParameterMismatch"),
    ("account", ""): Answer("InvalidParameterValue"),
    ("host", ""): Answer("InvalidParameterValue"),
    ("", ""): Answer("InvalidParameterValue"),
}

_WRONG_STATE = {
    ("instance", ""): Answer("IncorrectInstanceState"),
    ("instance", "termination-protected"): Answer("OperationNotPermitted"),
    ("instance", "stop-protected"): Answer("OperationNotPermitted"),
    ("instance", "no-host"): Answer("IncorrectInstanceState"),
    ("client-token", "terminated-client-token"): Answer("IdempotentInstanceTerminated"),
    ("instance", "terminated-client-token"): Answer("IdempotentInstanceTerminated"),
    ("instance", "already-associated"): Answer("Resource.AlreadyAssociated"),
    ("image", ""): Answer("InvalidAMIID.Unavailable"),
    ("image", "unavailable"): Answer("InvalidAMIID.Unavailable"),
    ("image", "in-use"): Answer("InvalidAMIID.Unavailable"),
    ("volume", ""): Answer("IncorrectState"),
    ("volume", "in-use"): Answer("VolumeInUse"),
    ("volume", "root"): Answer("OperationNotPermitted"),
    ("volume", "modifying"): Answer("IncorrectModificationState"),
    ("instance", "not-running"): Answer("IncorrectState"),
    ("snapshot", ""): Answer("IncorrectState"),
    ("snapshot", "in-use"): Answer("InvalidSnapshot.InUse"),
    ("security-group", "in-use"): Answer("DependencyViolation"),
    ("security-group", "default"): Answer("CannotDelete"),
    ("subnet", ""): Answer("IncorrectState"),
    ("subnet", "in-use"): Answer("DependencyViolation"),
    ("vpc", ""): Answer("IncorrectState"),
    ("vpc", "in-use"): Answer("DependencyViolation"),
    ("network-interface", ""): Answer("IncorrectState"),
    ("network-interface", "in-use"): Answer("InvalidNetworkInterface.InUse"),
    ("network-interface-attachment", ""): Answer("IncorrectState"),
    ("network-interface-attachment", "primary"): Answer("OperationNotPermitted"),
    ("elastic-ip", ""): Answer("InvalidIPAddress.InUse"),
    ("elastic-ip", "in-use"): Answer("InvalidIPAddress.InUse"),
    ("elastic-ip-association", ""): Answer("Resource.AlreadyAssociated"),
    ("internet-gateway", "not-attached"): Answer("Gateway.NotAttached"),
    ("internet-gateway", "in-use"): Answer("DependencyViolation"),
    ("route-table", "in-use"): Answer("DependencyViolation"),
    ("dhcp-options", "in-use"): Answer("DependencyViolation"),
    ("account", ""): Answer("IncorrectState"),
    ("host", ""): Answer("IncorrectState"),
    ("", ""): Answer("IncorrectState"),
}

_QUOTA = {
    "instance": Answer("InstanceLimitExceeded"),
    "vcpus": Answer("VcpuLimitExceeded"),
    "memory": Answer(
        "InstanceLimitExceeded"
    ),  # EC2 counts no memory; the message says what ran out
    "elastic-ip": Answer("AddressLimitExceeded"),
    "vpc": Answer("VpcLimitExceeded"),
    "subnet": Answer("SubnetLimitExceeded"),
    "internet-gateway": Answer("InternetGatewayLimitExceeded"),
    "route-table": Answer("RouteTableLimitExceeded"),
    "route": Answer("RouteLimitExceeded"),
    "security-group": Answer("SecurityGroupLimitExceeded"),
    "security-group-rule": Answer("RulesPerSecurityGroupLimitExceeded"),
    "groups-per-interface": Answer("SecurityGroupsPerInterfaceLimitExceeded"),
    "network-interface": Answer("NetworkInterfaceLimitExceeded"),
    "network-interface-attachment": Answer("AttachmentLimitExceeded"),
    "private-address": Answer("PrivateIpAddressLimitExceeded"),
    "key-pair": Answer("KeyPairLimitExceeded"),
    "tag": Answer("TagLimitExceeded"),
    "volume": Answer("VolumeLimitExceeded"),
    "attachment": Answer("AttachmentLimitExceeded"),
    "snapshot": Answer("SnapshotLimitExceeded"),
    "pending-snapshot": Answer("ConcurrentSnapshotLimitExceeded"),
    "image": Answer("ResourceLimitExceeded"),
    "access-key": Answer("ResourceLimitExceeded"),
    "": Answer("ResourceLimitExceeded"),
}

_NO_CAPACITY = {
    "instance": Answer("InsufficientInstanceCapacity", 500),
    "elastic-ip": Answer("InsufficientAddressCapacity", 500),
    "subnet": Answer("InsufficientFreeAddressesInSubnet"),
    "volume": Answer("InsufficientVolumeCapacity", 500),
    "": Answer("InsufficientCapacity", 500),
}

_BY_KIND = {
    Kind.UNSUPPORTED: Answer("UnsupportedOperation"),
    Kind.UNAUTHENTICATED: Answer("AuthFailure", 401),
    Kind.DENIED: Answer("UnauthorizedOperation", 403),
    Kind.UNAVAILABLE: Answer("Unavailable", 503),
    Kind.BUG: Answer("InternalError", 500),
    Kind.DRY_RUN: Answer("DryRunOperation", 412),
}

# IAM and STS have their own words for the common failures: (kind, reason) -> answer. Others are as
# above.
_QUERY_DIALECT = {
    (Kind.UNAUTHENTICATED, ""): Answer("SignatureDoesNotMatch", 403),
    (Kind.UNAUTHENTICATED, "unknown-key"): Answer("InvalidClientTokenId", 403),
    (Kind.UNAUTHENTICATED, "session-token"): Answer("InvalidClientTokenId", 403),
    (Kind.UNAUTHENTICATED, "missing-credentials"): Answer("MissingAuthenticationToken", 403),
    (Kind.DENIED, ""): Answer("AccessDenied", 403),
    (Kind.UNAVAILABLE, ""): Answer("ServiceUnavailable", 503),
    (Kind.BUG, ""): Answer("InternalFailure", 500),
}


def row(kind: Kind, noun: str, reason: str) -> Answer | None:
    """The row for exactly this combination, or None where the tables have none."""
    match kind:
        case Kind.INVALID:
            return _INVALID.get(reason)
        case Kind.MALFORMED_ID:
            return _MALFORMED_ID.get(noun)
        case Kind.NOT_FOUND:
            return _NOT_FOUND.get((noun, reason))
        case Kind.EXISTS:
            return _EXISTS.get((noun, reason))
        case Kind.WRONG_STATE:
            return _WRONG_STATE.get((noun, reason))
        case Kind.QUOTA:
            return _QUOTA.get(noun)
        case Kind.NO_CAPACITY:
            return _NO_CAPACITY.get(noun)
        case _:
            return _BY_KIND[kind]


def answer_to(error: CloudError, dialect: str) -> Answer:
    """The code and status of an error in a dialect ("ec2" | "query"). Always finds one."""
    if dialect == "query":
        own = _QUERY_DIALECT.get((error.kind, error.reason)) or _QUERY_DIALECT.get((error.kind, ""))
        if own is not None:
            return own
    found = row(error.kind, error.noun, error.reason)
    if found is not None:
        return found
    log.error("no EC2 code for %r", error)
    return row(error.kind, error.noun, "") or row(error.kind, "", "") or _BY_KIND[Kind.BUG]


def render(error: CloudError, dialect: str, namespace: str, request_id: str) -> tuple[int, str]:
    """(HTTP status, XML) of an error.

    EC2's root has no namespace and RequestID has a capital D (docs/ec2.md traps 1, 2).
    """
    answer = answer_to(error, dialect)
    code, message = escape(answer.code), escape(error.message)
    if dialect == "ec2":
        return answer.status, (
            f"{XML_HEAD}<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message>"
            f"</Error></Errors><RequestID>{request_id}</RequestID></Response>"
        )
    fault = "Receiver" if answer.status >= 500 else "Sender"
    return answer.status, (
        f'{XML_HEAD}<ErrorResponse xmlns="{namespace}"><Error><Type>{fault}</Type>'
        f"<Code>{code}</Code><Message>{message}</Message></Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    )
