"""Describe actions of nouns that are always empty here: spot requests, reserved instances, NAT
gateways and so on.

Nothing in this cloud can make one of these, so the true answer to "which are there?" is an empty
list, and to an id of one that it does not exist. Tools ask unasked for (inventory tools, Jenkins'
plugin, Cluster API) and stop at a refusal. Whatever would make one is UnsupportedOperation as
before. When one of these nouns is built, its line here goes.

A line has the operation, the member of its answer, and for each member that names one of the noun
the key under which gateway/aws/errors has the code of one that is not found. All other members that
the model knows are taken: whatever they ask for, there is none.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.aws import model
from gateway.aws.parameters import keyword
from gateway.aws.renderers import View
from gateway.call import Call
from gateway.ec2.parameters import invalid
from protos.errors import CloudError, Kind


@dataclass(frozen=True)
class Empty:
    """One such operation. ``named``: keyword that takes one name or several -> noun."""

    operation: str
    answer: str
    named: Mapping[str, str] = field(default_factory=dict)


EMPTY = (
    # Markets and reservations: there is one price, the operator's, and all capacity is on demand.
    Empty(
        "DescribeSpotInstanceRequests",
        "SpotInstanceRequests",
        {"spot_instance_request_ids": "spot-instances-request"},
    ),
    Empty("DescribeSpotPriceHistory", "SpotPriceHistory"),
    Empty(
        "DescribeReservedInstances",
        "ReservedInstances",
        {"reserved_instances_ids": "reserved-instances"},
    ),
    Empty(
        "DescribeReservedInstancesOfferings",
        "ReservedInstancesOfferings",
        {"reserved_instances_offering_ids": "reserved-instances-offering"},
    ),
    Empty("DescribeHosts", "Hosts", {"host_ids": "dedicated-host"}),
    Empty(
        "DescribeCapacityReservations",
        "CapacityReservations",
        {"capacity_reservation_ids": "capacity-reservation"},
    ),
    # Instances
    Empty(
        "DescribePlacementGroups",
        "PlacementGroups",
        {"group_names": "placement-group", "group_ids": "placement-group"},
    ),
    Empty(
        "DescribeLaunchTemplates",
        "LaunchTemplates",
        {
            "launch_template_ids": "launch-template",
            "launch_template_names": "launch-template-name",
        },
    ),
    Empty(
        "DescribeLaunchTemplateVersions",
        "LaunchTemplateVersions",
        {"launch_template_id": "launch-template", "launch_template_name": "launch-template-name"},
    ),
    Empty(
        "DescribeIamInstanceProfileAssociations",
        "IamInstanceProfileAssociations",
        {"association_ids": "iam-instance-profile-association"},
    ),
    # Networks
    Empty("DescribeNatGateways", "NatGateways", {"nat_gateway_ids": "natgateway"}),
    Empty("DescribeVpcEndpoints", "VpcEndpoints", {"vpc_endpoint_ids": "vpc-endpoint"}),
    Empty(
        "DescribeVpcEndpointServices", "ServiceDetails", {"service_names": "vpc-endpoint-service"}
    ),
    Empty("DescribePrefixLists", "PrefixLists", {"prefix_list_ids": "prefix-list"}),
    Empty("DescribeManagedPrefixLists", "PrefixLists", {"prefix_list_ids": "prefix-list"}),
    Empty(
        "DescribeEgressOnlyInternetGateways",
        "EgressOnlyInternetGateways",
        {"egress_only_internet_gateway_ids": "egress-only-internet-gateway"},
    ),
    Empty("DescribeCarrierGateways", "CarrierGateways", {"carrier_gateway_ids": "carrier-gateway"}),
    Empty("DescribeVpnGateways", "VpnGateways", {"vpn_gateway_ids": "vpn-gateway"}),
    Empty(
        "DescribeCustomerGateways", "CustomerGateways", {"customer_gateway_ids": "customer-gateway"}
    ),
    Empty("DescribeVpnConnections", "VpnConnections", {"vpn_connection_ids": "vpn-connection"}),
    Empty(
        "DescribeClientVpnEndpoints",
        "ClientVpnEndpoints",
        {"client_vpn_endpoint_ids": "client-vpn-endpoint"},
    ),
    Empty(
        "DescribeVpcPeeringConnections",
        "VpcPeeringConnections",
        {"vpc_peering_connection_ids": "vpc-peering-connection"},
    ),
    Empty("DescribeTransitGateways", "TransitGateways", {"transit_gateway_ids": "transit-gateway"}),
    Empty(
        "DescribeTransitGatewayAttachments",
        "TransitGatewayAttachments",
        {"transit_gateway_attachment_ids": "transit-gateway-attachment"},
    ),
    Empty(
        "DescribeTransitGatewayVpcAttachments",
        "TransitGatewayVpcAttachments",
        {"transit_gateway_attachment_ids": "transit-gateway-attachment"},
    ),
    Empty("DescribeFlowLogs", "FlowLogs", {"flow_log_ids": "vpc-flow-log"}),
    Empty("DescribePublicIpv4Pools", "PublicIpv4Pools", {"pool_ids": "ipv4pool-ec2"}),
    Empty("DescribeCoipPools", "CoipPools", {"pool_ids": "coip-pool"}),
    Empty("DescribeByoipCidrs", "ByoipCidrs"),
    # Images and tasks
    Empty("DescribeFpgaImages", "FpgaImages", {"fpga_image_ids": "fpga-image"}),
    Empty("DescribeBundleTasks", "BundleTasks", {"bundle_ids": "bundle-task"}),
    Empty("DescribeConversionTasks", "ConversionTasks", {"conversion_task_ids": "conversion-task"}),
    Empty("DescribeImportImageTasks", "ImportImageTasks", {"import_task_ids": "conversion-task"}),
    Empty(
        "DescribeImportSnapshotTasks", "ImportSnapshotTasks", {"import_task_ids": "conversion-task"}
    ),
    Empty("DescribeExportTasks", "ExportTasks", {"export_task_ids": "export-instance-task"}),
    Empty("DescribeFastSnapshotRestores", "FastSnapshotRestores"),
)


def _action(empty: Empty, members: tuple[str, ...]) -> Callable[..., View]:
    """The action of one line; its signature has all of the model's members (gateway/coverage)."""

    def describe(call: Call, **given: Any) -> View:
        for name, noun in empty.named.items():
            asked = given.get(name) or ()
            for one in (asked,) if isinstance(asked, str) else asked:
                words = noun.replace("-", " ")
                raise CloudError(
                    Kind.NOT_FOUND, f"The {words} '{one}' does not exist", noun=noun, id=one
                )
        if given.get("next_token"):
            raise invalid("The token is not one that this operation has given.", "next-token")
        if call.caller.dry_run:
            raise CloudError(Kind.DRY_RUN, "Request would have succeeded, but DryRun flag is set.")
        return {empty.answer: []}

    describe.__name__ = keyword(empty.operation)
    describe.__doc__ = f"That there are no {empty.answer}."
    describe.__annotations__ = {}
    # Typeshed's functions have none, though inspect.signature reads it.
    describe.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter("call", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
        + [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in members]
    )
    return describe


def actions() -> tuple[Callable[..., View], ...]:
    """The actions of all lines. Raises KeyError for a member that the model does not have."""
    service = model.load("ec2")
    made = []
    for empty in EMPTY:
        operation = service.operations[empty.operation]
        there = service.members(operation.input)
        members = tuple(keyword(name) for name in there if name != "DryRun")
        if not empty.named.keys() <= set(members):
            raise KeyError(f"{empty.operation} has no members {set(empty.named) - set(members)}")
        _ = service.members(operation.output)[empty.answer]
        made.append(_action(empty, members))
    return tuple(made)
