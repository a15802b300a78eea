"""The tables of storage/. How to read them: tables/schema."""

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
from controller.tables.hosts import Host
from controller.tables.identity import Account


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


class Volume(Table):
    """A disk. size_gib counts in its host's disk_gib_used and in its account's quota while the row
    exists.

    desired is written by storage/volumes/rules and reconcile, made by storage/volumes/observe. A
    volume that only a launch made has revision 0 and no assignment: its host knows it by its
    instance alone (docs/decisions/0600).
    """

    volume_id = id_key()
    account_id = ref(Account.account_id)
    host_id = maybe_ref(Host.host_id)  # its home: where its file is
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
    revision = number()
    made = flag(True)  # False until its home has first seen it whole
    served_to = text()  # the host, if not its home, whose guest has it

    class Meta:
        indexes = (
            (("account_id", "volume_id"), False),
            (("host_id",), False),
            (("digest",), False),
        )


class VolumeModification(Table):
    """The newest modification of a volume. What it waits for: its home's having seen
    volume_revision, its guest's having devices_revision (of its instance); 0: nothing."""

    volume_id = ref(Volume.volume_id, cascade=True, key=True)
    state = text(default="modifying")  # modifying | completed | failed
    started_ms = number()
    ended_ms = number()
    message = text()
    volume_revision = number()
    devices_revision = number()
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

    Written by controller/storage/snapshots alone.
    """

    snapshot_id = id_key()
    account_id = ref(Account.account_id)
    volume_id = text()  # no reference: volumes go
    host_id = maybe_ref(Host.host_id)  # that copies it; NULL once it need not know of it
    revision = number(default=1)
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
