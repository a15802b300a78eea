"""Every table of the controller on one page.

Imported by rules and views, which hand queries to a session (``db/session.py``): the models here
are bound to no database, so that two databases can live in one process. Nothing here has behaviour.

Reading aid. Times are milliseconds since the epoch. Text is never NULL, '' means "not said"; NULL
stands only where "none" must be told from every value, or where a unique index or a foreign key
must not count it. Primary keys are EC2's ids. Three columns have one owner each: instance.desired
(instances/rules), placement.observed (fleet/reports), host.health (reconcile). What a column's
words mean is said where its owner lives.
"""

from peewee import SQL, CompositeKey, Field, Model

from controller.db.columns import (
    BigIntegerField,
    BlobField,
    BooleanField,
    IntegerField,
    TextField,
)


class Table(Model):
    """A table. Bound to no database: a session says where a query runs."""

    class Meta:
        legacy_table_names = False


def text(**options) -> TextField:
    return TextField(**{"default": "", **options})


def maybe_text(**options) -> TextField:
    return TextField(null=True, **options)


def number(**options) -> BigIntegerField:
    return BigIntegerField(**{"default": 0, **options})


def small(**options) -> IntegerField:
    return IntegerField(**{"default": 0, **options})


def flag(default: bool = False) -> BooleanField:
    return BooleanField(default=default)


def id_key() -> TextField:
    return TextField(primary_key=True)


def ref(
    target: Field, *, null: bool = False, cascade: bool = False, key: bool = False
) -> TextField:
    """A foreign key as a plain column: the value is the id. ``cascade``: the row goes with what it
    refers to. ``key``: it is the table's primary key as well."""
    model = target.model._meta.table_name
    action = " ON DELETE CASCADE" if cascade else ""
    reference = SQL(f'REFERENCES "{model}" ("{target.column_name}"){action}')
    return TextField(null=null, primary_key=key, constraints=[reference])


# --- identity -------------------------------------------------------------------------------------


class Account(Table):
    account_id = id_key()  # twelve digits
    name = TextField(unique=True)
    operator = flag()
    created_ms = number()


class AccessKey(Table):
    access_key_id = id_key()
    account_id = ref(Account.account_id)
    sealed_secret = BlobField()  # identity/sealing
    status = text(default="Active")  # Active | Inactive
    created_ms = number()

    class Meta:
        indexes = ((("account_id", "access_key_id"), False),)


class KeyChange(Table):
    """Access keys that stopped being valid, in order: what the gateways poll."""

    sequence = BigIntegerField(primary_key=True)
    access_key_id = TextField()
    changed_ms = number()


class Quota(Table):
    """One row per account and name, made with the account. maximum NULL: the configured default."""

    account_id = ref(Account.account_id)
    name = TextField()
    maximum = BigIntegerField(null=True)
    used = number()

    class Meta:
        primary_key = CompositeKey("account_id", "name")


class Tag(Table):
    resource_id = TextField()
    key = TextField()
    value = text()
    account_id = ref(Account.account_id)
    resource_type = TextField()  # EC2's: "instance", "security-group" ...

    class Meta:
        primary_key = CompositeKey("resource_id", "key")
        indexes = (
            (("key", "value", "resource_id"), False),
            (("account_id", "resource_id", "key"), False),
        )


class KeyPair(Table):
    key_pair_id = id_key()
    account_id = ref(Account.account_id)
    key_name = TextField()
    key_type = TextField()  # rsa | ed25519
    fingerprint = TextField()
    public_key = TextField()  # OpenSSH's one line
    created_ms = number()

    class Meta:
        indexes = ((("account_id", "key_name"), True),)


# --- hosts ----------------------------------------------------------------------------------------


class Host(Table):
    """One server. vcpus … disk_gib: what it has (its facts); *_used: what is claimed of it, never
    above total × ratio."""

    host_id = id_key()
    name = TextField(unique=True)
    endpoint = text()  # host:port of its agent
    volume_endpoint = text()  # host:port where it serves volumes to other hosts; '': it does not
    availability_zone = TextField()
    hypervisor = text()  # kvm | qemu | fake
    hypervisor_away = text()  # why it cannot be used just now; '': it can
    architecture = text()
    version = text()
    features = text(default="[]")  # JSON list
    vcpus = number()
    memory_mib = number()
    disk_gib = number()
    vcpus_used = number()
    memory_mib_used = number()
    disk_gib_used = number()
    health = text(default="silent")  # up | silent | lost
    last_seen_ms = number()
    epoch = number()  # of the newest report taken in
    sequence = number()
    generation = number(default=1)  # moves with everything that this host should know
    volumes_generation = number()  # when a volume or snapshot here last changed in its own right
    known_generation = number()  # what its newest report said that it holds
    orphans = text(default="[]")  # JSON list of domains that nobody asked for
    load_1m = text()  # figures of its newest report, as decimal text
    memory_available_mib = number()
    disk_free_gib = number()
    created_ms = number()


class JoinToken(Table):
    """A one-time right to join. Only the secret's digest is kept; csr_digest set once used."""

    secret_digest = id_key()
    host_name = TextField()
    availability_zone = TextField()
    created_ms = number()
    expires_ms = number()
    csr_digest = text()
    host_id = text()
    certificate = text()  # PEM: the same answer for the same request again


# --- images ---------------------------------------------------------------------------------------


class ImageBlob(Table):
    """Bytes in the store, addressed by content."""

    digest = id_key()  # sha256:<hex>
    disk_format = TextField()  # qcow2 | raw
    size_bytes = number()
    virtual_size_bytes = number()
    created_ms = number()
    condemned = flag()  # its file is being removed; nobody may come to need it any more


class ImageUpload(Table):
    """Who brought which bytes: only they may register them by digest. Forgotten after some time."""

    account_id = ref(Account.account_id)
    digest = ref(ImageBlob.digest)
    uploaded_ms = number()

    class Meta:
        primary_key = CompositeKey("account_id", "digest")
        indexes = ((("digest",), False), (("uploaded_ms",), False))


class Image(Table):
    image_id = id_key()
    account_id = ref(Account.account_id)
    name = TextField()
    description = text()
    status = TextField()  # queued saving snapshotting active killed pending_delete deleted
    public = flag()
    architecture = text(default="x86_64")
    image_location = text()
    root_device_name = text()
    disk_format = text()
    container_format = text(default="bare")
    digest = maybe_text()  # of a file in the store (image_blob), or of the root snapshot's manifest
    size_bytes = number()
    virtual_size_bytes = number()
    mapped_devices = small()  # rows in image_block_device; 0: it has its root disk only, a file
    root_volume_size_gib = number()  # 0: as large as the image
    root_delete_on_termination = flag(True)
    root_volume_type = text()
    ena_support = flag()
    sriov_net_support = text()  # '' | simple: said when it was registered, and of no effect
    boot_mode = text()
    imds_support = text()
    source_instance_id = text()  # that it was made of
    virtualization_type = text(default="hvm")
    state_reason_code = text()
    state_reason_message = text()
    created_ms = number()
    deleted_ms = number()
    touched_ms = number()  # when its fetcher last said that it lives, or last gave up
    attempts = small()  # how often its location was tried

    class Meta:
        indexes = (
            (("account_id", "image_id"), False),
            (("public", "status", "image_id"), False),
            (("status", "image_id"), False),
            (("digest",), False),
        )


class ImageShare(Table):
    """Accounts that may launch another's image."""

    image_id = ref(Image.image_id, cascade=True)
    account_id = TextField()  # of whoever: EC2 takes accounts that are not here

    class Meta:
        primary_key = CompositeKey("image_id", "account_id")
        indexes = ((("account_id", "image_id"), False),)


class ImageBlockDevice(Table):
    """A disk of an image that is made of snapshots; position 0 is the root disk, whose digest and
    sizes the image's own row has too. snapshot_id '': a blank disk."""

    image_id = ref(Image.image_id, cascade=True)
    position = small()
    device_name = TextField()
    snapshot_id = text()
    virtual_name = text()  # an instance-store disk
    size_gib = number()
    delete_on_termination = flag(True)
    volume_type = text(default="gp2")
    iops = number()
    throughput_mibps = number()

    class Meta:
        primary_key = CompositeKey("image_id", "position")
        indexes = ((("snapshot_id",), False),)


class HostImage(Table):
    """Which host holds which image, as it last said: a hint for the scheduler, nothing hangs on
    it."""

    host_id = ref(Host.host_id, cascade=True)
    digest = TextField()

    class Meta:
        primary_key = CompositeKey("host_id", "digest")
        indexes = ((("digest",), False),)


# --- networks -------------------------------------------------------------------------------------


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

    class Meta:
        indexes = ((("account_id", "vpc_id"), False), (("dhcp_options_id",), False))


class HostVpc(Table):
    """A VPC that a host has instances of. generation: of the host, when what it should know of the
    VPC last changed."""

    host_id = ref(Host.host_id, cascade=True)
    vpc_id = ref(Vpc.vpc_id, cascade=True)
    generation = number()

    class Meta:
        primary_key = CompositeKey("host_id", "vpc_id")
        indexes = ((("vpc_id",), False), (("host_id", "generation"), False))


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
    peer_group_id = ref(SecurityGroup.group_id, null=True)  # no cascade: a group in use stays
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
    account_id = ref(Account.account_id, null=True)
    allocation_id = maybe_text(unique=True)
    reserved_ms = number()  # when it last changed hands: the longest free is lent first

    class Meta:
        indexes = ((("account_id", "reserved_ms", "position"), False),)


# --- instances ------------------------------------------------------------------------------------


class InstanceType(Table):
    name = id_key()
    vcpus = small()
    memory_mib = number()
    burstable = flag()
    current_generation = flag(True)
    architecture = text(default="x86_64")
    default_disk_gib = small(default=8)
    network_performance = text()
    maximum_network_interfaces = small(default=2)
    ipv4_addresses_per_interface = small(default=4)
    free_tier_eligible = flag()


class Instance(Table):
    """What was asked for. Where it is and how it goes is said by its live placement."""

    instance_id = id_key()
    account_id = ref(Account.account_id)
    reservation_id = TextField()
    ami_launch_index = small()
    client_token = text()
    request_digest = text()  # of the request that the token came with
    image_id = TextField()  # no reference: images go while instances run on
    instance_type = TextField()
    vcpus = small()
    memory_mib = number()
    architecture = text()
    availability_zone = TextField()
    key_name = text()
    public_key = text()
    user_data = BlobField(default=b"")
    root_device_name = text()
    desired = TextField()  # running | stopped | terminated
    force_stop = flag()
    starts = number(default=1)
    reboots = number()
    launched_ms = number()  # of the newest start
    created_ms = number()
    state_reason_code = text()
    state_reason_message = text()
    state_transition_reason = text()
    terminated_ms = BigIntegerField(null=True)  # when nothing of it was left anywhere
    disable_api_termination = flag()
    disable_api_stop = flag()
    shutdown_behavior = text(default="stop")  # stop | terminate
    monitoring = flag()
    ebs_optimized = flag()
    tenancy = text(default="default")
    cpu_credits = text()  # standard | unlimited; '': it never had a burstable type
    metadata_http_endpoint = text(default="enabled")
    metadata_http_tokens = text(default="optional")
    metadata_hop_limit = small(default=1)
    metadata_tags = text(default="disabled")
    metadata_ipv6 = text(default="disabled")

    class Meta:
        indexes = (
            (("account_id", "instance_id"), False),
            (("account_id", "desired", "instance_id"), False),  # the few that are stopped
            (("reservation_id",), False),
        )


class Placement(Table):
    """One stay of an instance on one host, and the claim on it: vcpus and memory_mib count in the
    host's *_used."""

    placement_id = id_key()
    instance_id = ref(Instance.instance_id, cascade=True)
    host_id = ref(Host.host_id)
    live = flag(True)  # False once seen absent: the stay is over
    generation = number()  # of the host, when what it should know of the instance last changed
    intent_generation = number()  # of the host, when `desired` was last set
    observed = text(default="unseen")
    observed_generation = number()  # that the observation was made under
    devices_generation = number()  # its guest has the disks and interfaces of this one
    devices_wanted = number()  # when a disk or interface last came or went; 0: all is as wanted
    network_generation = number()  # its VPCs and its metadata service follow this one
    metadata_wanted = number()  # when its metadata options last changed; 0: not since its launch
    epoch = number()  # of the report that brought it
    sequence = number()
    reason_code = text()
    reason_message = text()
    since_ms = number()
    reboots_done = number()
    reach = text()  # '' | initializing | passed | failed: does the guest answer on its network?
    reach_since_ms = number()
    ran_ms = (
        number()
    )  # since when it was first seen running, 0: never; a launch that never ran failed
    vcpus = number()  # claimed; 0 while stopped
    memory_mib = number()
    created_ms = number()

    class Meta:
        indexes = ((("instance_id",), False), (("host_id", "generation"), False))


class Volume(Table):
    """A disk, with its attachment (it has at most one). size_gib counts in its host's disk_gib_used
    and in its account's quota while the row exists.

    desired is written by volumes/rules and settle, observed by fleet/reports. A volume that only a
    launch made has generation 0: its host knows it by its instance alone (docs/decisions/0600).
    """

    volume_id = id_key()
    account_id = ref(Account.account_id)
    host_id = ref(Host.host_id, null=True)  # its home: where its file is
    availability_zone = TextField()
    size_gib = number()
    volume_type = text(default="gp2")
    iops = number()
    throughput_mibps = number()
    encrypted = flag()
    snapshot_id = text()
    created_ms = number()
    client_token = text()
    request_digest = text()  # of the request that the token came with
    image_id = text()  # what it starts as, an image or a snapshot; '': blank
    digest = maybe_text()
    disk_format = text()
    image_size_bytes = number()
    image_virtual_size_bytes = number()
    desired = text(default="present")  # present | deleted
    generation = number()  # of its home, when its VolumeSpec last changed; 0: none is sent
    made = flag(True)  # False until its home has first seen it whole
    observed = text()  # '' | making | here | failed | gone | lost
    observed_generation = number()  # that the observation was made under
    observed_message = text()
    epoch = number()  # of the report that brought it
    sequence = number()
    served_to = text()  # the host, if not its home, whose guest has it
    instance_id = ref(Instance.instance_id, null=True)
    device_name = text()
    position = small()  # 0: the root disk
    delete_on_termination = flag(True)
    attached_ms = number()
    attach_generation = number()  # of the instance's host, when this came or began to go; 0: launch
    detaching = flag()
    forced = flag()  # taken from the guest without asking it
    busy = flag()  # the guest does not let go of it
    failed = flag()  # it could not be given to its guest, and is taken back
    attach_message = text()  # why it could not be given to its guest, or taken from it

    class Meta:
        indexes = (
            (("account_id", "volume_id"), False),
            (("instance_id", "position"), False),
            (("host_id", "generation"), False),
            (("digest",), False),
        )


class VolumeModification(Table):
    """The newest modification of a volume. What it waits for: its home's having seen
    volume_generation, its guest's having devices_generation; 0: nothing."""

    volume_id = ref(Volume.volume_id, cascade=True, key=True)
    state = text(default="modifying")  # modifying | completed | failed
    started_ms = number()
    ended_ms = number()
    message = text()
    volume_generation = number()
    devices_generation = number()
    original_size_gib = number()
    original_type = text()
    original_iops = number()
    original_throughput_mibps = number()
    target_size_gib = number()
    target_type = text()
    target_iops = number()
    target_throughput_mibps = number()


class Snapshot(Table):
    """A volume as it was at a moment. digest: of its manifest, NULL until the store has it whole.

    Written by controller/snapshots alone.
    """

    snapshot_id = id_key()
    account_id = ref(Account.account_id)
    volume_id = text()  # no reference: volumes go
    host_id = ref(Host.host_id, null=True)  # that copies it; NULL once it need not know of it
    generation = number()  # of the host, when what it should know of this last changed
    epoch = number()  # of the report that brought what was seen
    sequence = number()
    size_gib = number()
    description = text()
    status = TextField()  # pending | completed | error | deleting: not found any more
    status_message = text()
    progress = small()  # per cent
    quiesce = flag()  # the guest is asked to freeze its file systems
    image_id = text()  # that it was taken for, of one moment with the others of that
    image_snapshots = small()  # how many of these its host was told of
    off_instance_id = text()  # whose guest is to be off at that moment
    digest = maybe_text()
    size_bytes = number()  # of the blocks that it names
    added_bytes = number()  # of those that the store did not have
    public = flag()
    started_ms = number()
    completed_ms = number()

    class Meta:
        indexes = (
            (("account_id", "snapshot_id"), False),
            (("public", "snapshot_id"), False),
            (("host_id", "generation"), False),
            (("digest",), False),
            (("volume_id",), False),
        )


class SnapshotShare(Table):
    """Accounts that may make volumes of another's snapshot."""

    snapshot_id = ref(Snapshot.snapshot_id, cascade=True)
    account_id = TextField()

    class Meta:
        primary_key = CompositeKey("snapshot_id", "account_id")
        indexes = ((("account_id", "snapshot_id"), False),)


class NetworkInterface(Table):
    """A NIC, with its attachment (it has at most one), its primary address and the public one of
    that."""

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
    instance_id = ref(Instance.instance_id, null=True)
    attachment_id = text()
    device_index = small()
    delete_on_termination = flag(True)
    attached_ms = number()
    attach_generation = number()  # of the instance's host, when this came or began to go; 0: launch
    detaching = flag()
    busy = flag()  # the guest does not let go of it
    failed = flag()  # it could not be given to its guest, and is taken back
    attach_message = text()  # why it could not be given to its guest, or taken from it
    public_ip = ref(PublicAddress.public_ip, null=True)
    association_id = text()  # '' where the address was lent at launch
    auto_public = flag()  # wants a public address lent at each start

    class Meta:
        indexes = (
            (("account_id", "network_interface_id"), False),
            (("subnet_id", "private_ip"), True),
            (("public_ip",), True),
            (("instance_id", "device_index"), False),
            (("vpc_id",), False),
        )


class SecondaryAddress(Table):
    """A private address of a NIC beside its primary one, with its elastic address. None is also a
    primary one: private_addresses looks at both, in the transaction that takes them."""

    subnet_id = ref(Subnet.subnet_id)
    private_ip = TextField()
    network_interface_id = ref(NetworkInterface.network_interface_id, cascade=True)
    position = small()  # in the order in which they came
    public_ip = ref(PublicAddress.public_ip, null=True)
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


# --- what a VPC has beside ------------------------------------------------------------------------


class InternetGateway(Table):
    internet_gateway_id = id_key()
    account_id = ref(Account.account_id)
    vpc_id = ref(Vpc.vpc_id, null=True)  # attached to
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
    subnet_id = ref(Subnet.subnet_id, null=True)  # NULL: the VPC's main one
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


# Unique or small indexes over some rows only; the same words on SQLite and PostgreSQL.
PARTIAL_INDEXES = (
    "CREATE UNIQUE INDEX placement_one_live ON placement (instance_id) WHERE live",
    "CREATE INDEX placement_unsettled ON placement (observed, placement_id) WHERE live"
    " AND observed IN ('exited', 'failed', 'absent', 'stopped')",
    "CREATE UNIQUE INDEX instance_client_token ON instance"
    " (account_id, client_token, ami_launch_index) WHERE client_token <> ''",
    "CREATE UNIQUE INDEX volume_client_token ON volume (account_id, client_token)"
    " WHERE client_token <> ''",
    "CREATE INDEX volume_detaching ON volume (volume_id) WHERE detaching",
    "CREATE INDEX volume_failed ON volume (volume_id) WHERE failed",
    "CREATE INDEX volume_deleted ON volume (volume_id) WHERE desired = 'deleted'",
    "CREATE INDEX volume_modifying ON volume_modification (volume_id) WHERE state = 'modifying'",
    "CREATE INDEX instance_terminated ON instance (terminated_ms) WHERE terminated_ms IS NOT NULL",
    "CREATE UNIQUE INDEX network_interface_client_token ON network_interface"
    " (account_id, client_token) WHERE client_token <> ''",
    "CREATE INDEX network_interface_going ON network_interface (network_interface_id)"
    " WHERE detaching",
    "CREATE INDEX network_interface_failed ON network_interface (network_interface_id)"
    " WHERE failed",
    "CREATE UNIQUE INDEX vpc_one_default ON vpc (account_id) WHERE is_default",
    "CREATE UNIQUE INDEX image_name ON image (account_id, name)"
    " WHERE status IN ('queued', 'saving', 'snapshotting', 'active')",
    "CREATE UNIQUE INDEX vpc_one_main_route_table ON route_table_association (vpc_id) WHERE main",
    "CREATE UNIQUE INDEX route_table_client_token ON route_table (account_id, client_token)"
    " WHERE client_token <> ''",
    "CREATE UNIQUE INDEX dhcp_options_one_default ON dhcp_options (account_id) WHERE is_default",
    "CREATE INDEX join_token_expires ON join_token (expires_ms)",
)

# In the order in which they can be made.
TABLES: tuple[type[Table], ...] = (
    Account,
    AccessKey,
    KeyChange,
    Quota,
    Tag,
    KeyPair,
    Host,
    JoinToken,
    ImageBlob,
    ImageUpload,
    Image,
    ImageShare,
    ImageBlockDevice,
    HostImage,
    DhcpOptions,
    DhcpOption,
    Vpc,
    HostVpc,
    Subnet,
    SecurityGroup,
    SecurityGroupRule,
    PublicAddress,
    InstanceType,
    Instance,
    Placement,
    Volume,
    VolumeModification,
    Snapshot,
    SnapshotShare,
    NetworkInterface,
    SecondaryAddress,
    NicGroup,
    InternetGateway,
    RouteTable,
    Route,
    RouteTableAssociation,
    NetworkAcl,
    NetworkAclEntry,
    NetworkAclAssociation,
)
