"""The tables of hosts/. How to read them: tables/schema."""

from peewee import CompositeKey

from controller.kernel.columns import TextField
from controller.kernel.table import Table, id_key, number, ref, text


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
    position = number(default=1)  # of the newest entry in its change feed
    known_position = number()  # up to which it holds the feed, as its newest report said
    orphans = text(default="[]")  # JSON list of domains that nobody asked for
    load_1m = text()  # figures of its newest report, as decimal text
    memory_available_mib = number()
    disk_free_gib = number()
    created_ms = number()


class Assignment(Table):
    """That a host should make a resource true, and what it has seen of it: one row for each
    resource, host and role. It is also the resource's one entry in the host's change feed."""

    kind = TextField()  # instance | vpc | volume | snapshot: as kinds are registered in app
    resource_id = TextField()
    host_id = ref(Host.host_id, cascade=True)
    role = TextField()  # what the host is to it: guest | network | home
    revision = number()  # of the resource, when it last changed
    position = number()  # in the host's change feed
    observed = text()  # a word of the kind's; '': nothing was seen yet
    observed_revision = number()  # that the observation was made under
    epoch = number()  # of the report that brought it
    sequence = number()
    reason_code = text()
    reason_message = text()
    since_ms = number()

    class Meta:
        primary_key = CompositeKey("kind", "resource_id", "host_id", "role")
        indexes = ((("host_id", "position"), False),)


class Stranger(Table):
    """What a host has and nobody here knows: this database is an older copy. It counts in the
    host's *_used. Written by hosts/strangers alone."""

    host_id = ref(Host.host_id, cascade=True)
    kind = TextField()
    resource_id = TextField()
    role = TextField()
    vcpus = number()
    memory_mib = number()
    disk_gib = number()
    seen_ms = number()

    class Meta:
        primary_key = CompositeKey("host_id", "kind", "resource_id", "role")


class StrangerAddress(Table):
    """An address that a stranger has: it is given to nobody. subnet_id '': a public one."""

    address = TextField()
    subnet_id = TextField()
    host_id = ref(Host.host_id, cascade=True)
    resource_id = TextField()

    class Meta:
        primary_key = CompositeKey("address", "subnet_id", "host_id", "resource_id")


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
