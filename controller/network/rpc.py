"""The service Networks, from the wire to the rules and back: VPCs and what a VPC has."""

import random
from collections.abc import Callable

from controller.config import RegionConfig
from controller.hosts.feed import Feed
from controller.identity.quotas.rules import Quotas
from controller.kernel.call import Call
from controller.kernel.database import Database, Transaction
from controller.network import default_vpc as defaults
from controller.network.acls.describe import describe_network_acls
from controller.network.dhcp_options import rules as dhcp_options
from controller.network.dhcp_options.describe import describe_dhcp_options
from controller.network.interfaces.describe import describe_interfaces, interface_filters
from controller.network.names import DnsNames
from controller.network.routing import internet_gateways as gateways
from controller.network.routing import route_tables, routes
from controller.network.routing.describe import describe_internet_gateways, describe_route_tables
from controller.network.subnets import rules as subnets
from controller.network.subnets.describe import describe_subnets
from controller.network.vpcs import rules as vpcs
from controller.network.vpcs.describe import describe_vpcs
from protos.cloud.v1 import common_pb2, networks_pb2


class NetworksServicer:
    def __init__(
        self,
        db: Database,
        rng: random.Random,
        quotas: Quotas,
        feed: Feed,
        names: DnsNames,
        region: RegionConfig,
    ):
        self._db, self._rng, self._quotas, self._feed = db, rng, quotas, feed
        self._names, self._zones, self._domain = names, region.zones, names.private_suffix
        self._interface_filters = interface_filters(names, region.zones)

    # VPCs

    def CreateVpc(self, request: networks_pb2.CreateVpcRequest, call: Call) -> networks_pb2.Vpc:
        with self._db.write(call) as tx:
            vpc_id = vpcs.create(tx, self._rng, self._quotas, self._domain, request)
            return self._vpc(tx, vpc_id)

    def CreateDefaultVpc(self, request: common_pb2.Empty, call: Call) -> networks_pb2.Vpc:
        with self._db.write(call) as tx:
            vpc_id = defaults.make_default_vpc(
                tx, call.account_id, self._zones, self._rng, self._quotas, self._domain
            )
            return self._vpc(tx, vpc_id)

    def DeleteVpc(self, request: networks_pb2.VpcSelector, call: Call) -> common_pb2.Empty:
        return self._do(call, lambda tx: vpcs.delete(tx, self._quotas, request.vpc_id))

    def DescribeVpcs(
        self, request: networks_pb2.DescribeVpcsRequest, call: Call
    ) -> networks_pb2.DescribeVpcsResponse:
        with self._db.read(call) as session:
            return describe_vpcs(session, call.account_id, request)

    def DescribeVpcAttribute(
        self, request: networks_pb2.VpcSelector, call: Call
    ) -> networks_pb2.VpcAttributes:
        with self._db.read(call) as session:
            return vpcs.attributes(session, call.account_id, request.vpc_id)

    def ModifyVpcAttribute(
        self, request: networks_pb2.ModifyVpcAttributeRequest, call: Call
    ) -> common_pb2.Empty:
        return self._do(call, lambda tx: vpcs.modify(tx, self._feed, request))

    # Subnets

    def CreateSubnet(
        self, request: networks_pb2.CreateSubnetRequest, call: Call
    ) -> networks_pb2.Subnet:
        with self._db.write(call) as tx:
            subnet_id = subnets.create(
                tx, self._rng, self._quotas, self._feed, self._zones, request
            )
            return self._subnet(tx, subnet_id)

    def CreateDefaultSubnet(
        self, request: networks_pb2.CreateDefaultSubnetRequest, call: Call
    ) -> networks_pb2.Subnet:
        with self._db.write(call) as tx:
            subnet_id = defaults.create_default_subnet(
                tx, self._rng, self._feed, self._zones, request
            )
            return self._subnet(tx, subnet_id)

    def DeleteSubnet(self, request: networks_pb2.SubnetSelector, call: Call) -> common_pb2.Empty:
        return self._do(call, lambda tx: subnets.delete(tx, self._feed, request.subnet_id))

    def DescribeSubnets(
        self, request: networks_pb2.DescribeSubnetsRequest, call: Call
    ) -> networks_pb2.DescribeSubnetsResponse:
        with self._db.read(call) as session:
            return describe_subnets(session, call.account_id, self._zones, request)

    def ModifySubnetAttribute(
        self, request: networks_pb2.ModifySubnetAttributeRequest, call: Call
    ) -> common_pb2.Empty:
        return self._do(call, lambda tx: subnets.modify(tx, request))

    # Internet gateways

    def CreateInternetGateway(
        self, request: networks_pb2.CreateInternetGatewayRequest, call: Call
    ) -> networks_pb2.InternetGateway:
        with self._db.write(call) as tx:
            gateway_id = gateways.create(tx, self._rng, self._quotas, request)
            wanted = networks_pb2.DescribeInternetGatewaysRequest(internet_gateway_ids=[gateway_id])
            return describe_internet_gateways(tx, call.account_id, wanted).internet_gateways[0]

    def AttachInternetGateway(
        self, request: networks_pb2.InternetGatewayInVpc, call: Call
    ) -> common_pb2.Empty:
        return self._do(call, lambda tx: gateways.attach(tx, self._feed, request))

    def DetachInternetGateway(
        self, request: networks_pb2.InternetGatewayInVpc, call: Call
    ) -> common_pb2.Empty:
        return self._do(call, lambda tx: gateways.detach(tx, self._feed, request))

    def DeleteInternetGateway(
        self, request: networks_pb2.InternetGatewaySelector, call: Call
    ) -> common_pb2.Empty:
        gateway_id = request.internet_gateway_id
        return self._do(call, lambda tx: gateways.delete(tx, self._quotas, gateway_id))

    def DescribeInternetGateways(
        self, request: networks_pb2.DescribeInternetGatewaysRequest, call: Call
    ) -> networks_pb2.DescribeInternetGatewaysResponse:
        with self._db.read(call) as session:
            return describe_internet_gateways(session, call.account_id, request)

    # Route tables and their routes

    def CreateRouteTable(
        self, request: networks_pb2.CreateRouteTableRequest, call: Call
    ) -> networks_pb2.RouteTable:
        with self._db.write(call) as tx:
            table_id = route_tables.create(tx, self._rng, self._quotas, request)
            wanted = networks_pb2.DescribeRouteTablesRequest(route_table_ids=[table_id])
            return describe_route_tables(tx, call.account_id, wanted).route_tables[0]

    def DeleteRouteTable(
        self, request: networks_pb2.RouteTableSelector, call: Call
    ) -> common_pb2.Empty:
        return self._do(call, lambda tx: route_tables.delete(tx, request.route_table_id))

    def DescribeRouteTables(
        self, request: networks_pb2.DescribeRouteTablesRequest, call: Call
    ) -> networks_pb2.DescribeRouteTablesResponse:
        with self._db.read(call) as session:
            return describe_route_tables(session, call.account_id, request)

    def AssociateRouteTable(
        self, request: networks_pb2.AssociateRouteTableRequest, call: Call
    ) -> networks_pb2.RouteTableAssociation:
        with self._db.write(call) as tx:
            return route_tables.associate(tx, self._rng, self._feed, request)

    def DisassociateRouteTable(
        self, request: networks_pb2.DisassociateRouteTableRequest, call: Call
    ) -> common_pb2.Empty:
        gone = request.association_id
        return self._do(call, lambda tx: route_tables.disassociate(tx, self._feed, gone))

    def ReplaceRouteTableAssociation(
        self, request: networks_pb2.ReplaceRouteTableAssociationRequest, call: Call
    ) -> networks_pb2.RouteTableAssociation:
        with self._db.write(call) as tx:
            return route_tables.replace_association(tx, self._rng, self._feed, request)

    def CreateRoute(self, request: networks_pb2.RouteRequest, call: Call) -> common_pb2.Empty:
        return self._do(call, lambda tx: routes.create(tx, self._quotas, self._feed, request))

    def ReplaceRoute(self, request: networks_pb2.RouteRequest, call: Call) -> common_pb2.Empty:
        return self._do(call, lambda tx: routes.replace(tx, self._feed, request))

    def DeleteRoute(self, request: networks_pb2.RouteRequest, call: Call) -> common_pb2.Empty:
        return self._do(call, lambda tx: routes.delete(tx, self._feed, request))

    # DHCP options, network ACLs, interfaces

    def CreateDhcpOptions(
        self, request: networks_pb2.CreateDhcpOptionsRequest, call: Call
    ) -> networks_pb2.DhcpOptions:
        with self._db.write(call) as tx:
            set_id = dhcp_options.create(tx, self._rng, request)
            wanted = networks_pb2.DescribeDhcpOptionsRequest(dhcp_options_ids=[set_id])
            return describe_dhcp_options(tx, call.account_id, wanted).dhcp_options[0]

    def DeleteDhcpOptions(
        self, request: networks_pb2.DhcpOptionsSelector, call: Call
    ) -> common_pb2.Empty:
        return self._do(call, lambda tx: dhcp_options.delete(tx, request.dhcp_options_id))

    def AssociateDhcpOptions(
        self, request: networks_pb2.AssociateDhcpOptionsRequest, call: Call
    ) -> common_pb2.Empty:
        def associate(tx: Transaction) -> None:
            vpcs.find(tx, request.vpc_id)
            dhcp_options.associate(tx, self._rng, self._feed, self._domain, request)

        return self._do(call, associate)

    def DescribeDhcpOptions(
        self, request: networks_pb2.DescribeDhcpOptionsRequest, call: Call
    ) -> networks_pb2.DescribeDhcpOptionsResponse:
        with self._db.read(call) as session:
            return describe_dhcp_options(session, call.account_id, request)

    def DescribeNetworkAcls(
        self, request: networks_pb2.DescribeNetworkAclsRequest, call: Call
    ) -> networks_pb2.DescribeNetworkAclsResponse:
        with self._db.read(call) as session:
            return describe_network_acls(session, call.account_id, request)

    def DescribeNetworkInterfaces(
        self, request: networks_pb2.DescribeNetworkInterfacesRequest, call: Call
    ) -> networks_pb2.DescribeNetworkInterfacesResponse:
        with self._db.read(call) as session:
            return describe_interfaces(
                session, call.account_id, self._interface_filters, self._names, request
            )

    def _do(self, call: Call, rule: Callable[[Transaction], None]) -> common_pb2.Empty:
        """A call that answers nothing but that it was done."""
        with self._db.write(call) as tx:
            rule(tx)
        return common_pb2.Empty()

    def _vpc(self, tx: Transaction, vpc_id: str) -> networks_pb2.Vpc:
        wanted = networks_pb2.DescribeVpcsRequest(vpc_ids=[vpc_id])
        return describe_vpcs(tx, tx.call.account_id, wanted).vpcs[0]

    def _subnet(self, tx: Transaction, subnet_id: str) -> networks_pb2.Subnet:
        wanted = networks_pb2.DescribeSubnetsRequest(subnet_ids=[subnet_id])
        return describe_subnets(tx, tx.call.account_id, self._zones, wanted).subnets[0]
