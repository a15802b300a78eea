"""The tables of compute/. How to read them: tables/schema."""

from controller.kernel.columns import BigIntegerField, BlobField, TextField
from controller.kernel.table import Table, flag, id_key, number, ref, small, text
from controller.tables.hosts import Host
from controller.tables.identity import Account


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
    revision = number(default=1)
    intent_revision = number(default=1)  # when `desired` was last set
    metadata_revision = number()  # when its metadata options last changed; 0: not since its launch
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
    """One stay of an instance on one host: the claim on it (vcpus and memory_mib count in the
    host's *_used), and what the host has seen of the guest beside its assignment's `observed`."""

    placement_id = id_key()
    instance_id = ref(Instance.instance_id, cascade=True)
    host_id = ref(Host.host_id)
    live = flag(True)  # False once seen absent: the stay is over
    devices_revision = number()  # of the instance: its guest has the disks and interfaces of this
    devices_wanted = number()  # when a disk or interface last came or went; 0: all is as wanted
    network_revision = number()  # its VPCs and its metadata service follow this one
    reboots_done = number()
    status_check = text()  # '' | initializing | passed | failed: does the guest answer?
    status_check_since_ms = number()
    ran_start = number()  # the newest start (instance.starts) that is known to have run; 0: none
    vcpus = number()  # claimed; 0 while stopped
    memory_mib = number()
    created_ms = number()

    class Meta:
        indexes = ((("instance_id",), False), (("host_id",), False))


class Attachment(Table):
    """A volume or a network interface that an instance has, or is to lose. A device has one at
    most; a row goes when the instance's guest is seen without it."""

    device_id = id_key()  # of the volume or the network interface
    kind = TextField()  # volume | network_interface
    attachment_id = text()  # EC2's, of network interfaces
    instance_id = ref(Instance.instance_id)
    device_name = text()  # of volumes
    position = small()  # of volumes: 0 is the root disk; of interfaces: EC2's device index
    delete_on_termination = flag(True)
    attached_ms = number()
    revision = number()  # of the instance, when this came or began to go; 0: with its launch
    detaching = flag()
    forced = flag()  # taken from the guest without asking it
    busy = flag()  # the guest does not let go of it
    failed = flag()  # it could not be given to its guest, and is taken back
    message = text()  # why it could not be given to its guest, or taken from it

    class Meta:
        indexes = ((("instance_id", "kind", "position"), False), (("attachment_id",), False))
