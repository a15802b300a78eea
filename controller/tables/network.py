"""The tables of network/. How to read them: tables/schema."""

from peewee import CompositeKey

from controller.kernel.columns import TextField
from controller.kernel.table import (
    Table,
    flag,
    id_key,
    maybe_ref,
    maybe_text,
    number,
    ref,
    small,
    text,
)
from controller.tables.identity import Account


class DhcpOptions(Table):
    """What guests are told by DHCP. is_default: the set that an account's VPCs begin with."""

    dhcp_options_id = id_key()
    account_id = ref(Account.account_id)
    is_default = flag()
    created_ms = number()

    class Meta:
        indexes = ((("account_id", "dhcp_options_id"), False),)


class DhcpOption(Table):
    dhcp_options_id = ref(DhcpOptions.dhcp_options_id, cascade=True)
    key = TextField()  # EC2's: domain-name, domain-name-servers, ntp-servers ...
    position = small()  # among the key's values, as asked for
    value = TextField()

    class Meta:
        primary_key = CompositeKey("dhcp_options_id", "key", "position")


class Vpc(Table):
    vpc_id = id_key()
    account_id = ref(Account.account_id)
    cidr_block = TextField()
    cidr_association_id = TextField()
    dhcp_options_id = ref(DhcpOptions.dhcp_options_id)
    is_default = flag()
    default_zones = text(default="[]")  # JSON list: zones that it was given a default subnet for
    instance_tenancy = text(default="default")
    enable_dns_support = flag(True)
    enable_dns_hostnames = flag()
    enable_network_address_usage_metrics = flag()
    created_ms = number()
    revision = number(default=1)

    class Meta:
        indexes = ((("account_id", "vpc_id"), False), (("dhcp_options_id",), False))


class Subnet(Table):
    subnet_id = id_key()
    vpc_id = ref(Vpc.vpc_id)
    account_id = ref(Account.account_id)
    cidr_block = TextField()
    availability_zone = TextField()
    default_for_az = flag()
    map_public_ip_on_launch = flag()
    created_ms = number()

    class Meta:
        indexes = ((("account_id", "subnet_id"), False), (("vpc_id",), False))


class SecurityGroup(Table):
    group_id = id_key()
    account_id = ref(Account.account_id)
    vpc_id = ref(Vpc.vpc_id)
    group_name = TextField()
    description = text()
    created_ms = number()

    class Meta:
        indexes = ((("account_id", "group_id"), False), (("vpc_id", "group_name"), True))


class SecurityGroupRule(Table):
    """One source or destination. peer: a CIDR in canonical form, or the id that peer_group_id
    names, by peer_kind."""

    rule_id = id_key()
    account_id = ref(Account.account_id)
    group_id = ref(SecurityGroup.group_id, cascade=True)
    egress = flag()
    protocol = TextField()  # tcp | udp | icmp | icmpv6 | "-1" | a number
    from_port = small(default=-1)
    to_port = small(default=-1)
    peer_kind = TextField()  # cidr_ipv4 | cidr_ipv6 | group
    peer = TextField()
    peer_group_id = maybe_ref(SecurityGroup.group_id)  # no cascade: a group in use stays
    description = text()
    created_ms = number()
    position = small()  # among the rules of its call: shown in the order in which they were made

    class Meta:
        indexes = (
            (("group_id", "egress", "protocol", "from_port", "to_port", "peer"), True),
            (("account_id", "rule_id"), False),
            (("peer_group_id",), False),
        )


class PublicAddress(Table):
    """The pool, one row an address. account_id NULL: free. allocation_id NULL: lent at launch, goes
    with the instance.

    Which private address has it is said by network_interface.public_ip or
    secondary_address.public_ip.
    """

    public_ip = id_key()
    position = number(unique=True)  # order in the pool
    account_id = maybe_ref(Account.account_id)
    allocation_id = maybe_text(unique=True)
    reserved_ms = number()  # when it last changed hands: the longest free is lent first

    class Meta:
        indexes = ((("account_id", "reserved_ms", "position"), False),)


class NetworkInterface(Table):
    """A NIC with its primary address and the public one of that."""

    network_interface_id = id_key()
    account_id = ref(Account.account_id)
    vpc_id = ref(Vpc.vpc_id)
    subnet_id = ref(Subnet.subnet_id)
    availability_zone = TextField()
    mac_address = TextField(unique=True)
    private_ip = TextField()
    description = text()
    source_dest_check = flag(True)
    created_ms = number()
    client_token = text()
    request_digest = text()  # of the request that the token came with
    public_ip = maybe_ref(PublicAddress.public_ip)
    association_id = text()  # '' where the address was lent at launch
    auto_public = flag()  # wants a public address lent at each start

    class Meta:
        indexes = (
            (("account_id", "network_interface_id"), False),
            (("subnet_id", "private_ip"), True),
            (("public_ip",), True),
            (("vpc_id",), False),
        )


class SecondaryAddress(Table):
    """A private address of a NIC beside its primary one, with its elastic address. None is also a
    primary one: private_addresses looks at both, in the transaction that takes them."""

    subnet_id = ref(Subnet.subnet_id)
    private_ip = TextField()
    network_interface_id = ref(NetworkInterface.network_interface_id, cascade=True)
    position = small()  # in the order in which they came
    public_ip = maybe_ref(PublicAddress.public_ip)
    association_id = text()

    class Meta:
        primary_key = CompositeKey("subnet_id", "private_ip")
        indexes = ((("network_interface_id", "position"), False), (("public_ip",), True))


class NicGroup(Table):
    network_interface_id = ref(NetworkInterface.network_interface_id, cascade=True)
    group_id = ref(SecurityGroup.group_id)
    position = small()  # as asked for

    class Meta:
        primary_key = CompositeKey("network_interface_id", "group_id")
        indexes = ((("group_id",), False),)


class InternetGateway(Table):
    internet_gateway_id = id_key()
    account_id = ref(Account.account_id)
    vpc_id = maybe_ref(Vpc.vpc_id)  # attached to
    created_ms = number()

    class Meta:
        indexes = ((("account_id", "internet_gateway_id"), False), (("vpc_id",), True))


class RouteTable(Table):
    route_table_id = id_key()
    account_id = ref(Account.account_id)
    vpc_id = ref(Vpc.vpc_id)
    client_token = text()
    request_digest = text()  # of the request that the token came with
    created_ms = number()

    class Meta:
        indexes = ((("account_id", "route_table_id"), False), (("vpc_id",), False))


class Route(Table):
    route_table_id = ref(RouteTable.route_table_id, cascade=True)
    destination_cidr_block = TextField()
    # The target. No references: it may go, which leaves the route without effect ("blackhole").
    gateway_id = text()  # "local" or an internet gateway
    network_interface_id = text()
    origin = TextField()  # CreateRouteTable | CreateRoute

    class Meta:
        primary_key = CompositeKey("route_table_id", "destination_cidr_block")
        indexes = ((("network_interface_id",), False),)


class RouteTableAssociation(Table):
    association_id = id_key()
    route_table_id = ref(RouteTable.route_table_id, cascade=True)
    vpc_id = ref(Vpc.vpc_id)
    subnet_id = maybe_ref(Subnet.subnet_id)  # NULL: the VPC's main one
    main = flag()

    class Meta:
        indexes = ((("route_table_id",), False), (("subnet_id",), True))


class NetworkAcl(Table):
    network_acl_id = id_key()
    account_id = ref(Account.account_id)
    vpc_id = ref(Vpc.vpc_id)
    is_default = flag()
    created_ms = number()

    class Meta:
        indexes = ((("account_id", "network_acl_id"), False), (("vpc_id",), False))


class NetworkAclEntry(Table):
    network_acl_id = ref(NetworkAcl.network_acl_id, cascade=True)
    egress = flag()
    rule_number = small()
    protocol = TextField()
    rule_action = TextField()  # allow | deny
    cidr_block = TextField()

    class Meta:
        primary_key = CompositeKey("network_acl_id", "egress", "rule_number")


class NetworkAclAssociation(Table):
    association_id = id_key()
    network_acl_id = ref(NetworkAcl.network_acl_id)
    subnet_id = ref(Subnet.subnet_id)

    class Meta:
        indexes = ((("subnet_id",), True), (("network_acl_id",), False))
