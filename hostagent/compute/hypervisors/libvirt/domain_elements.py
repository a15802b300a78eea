"""What a domain's XML is made of, declared: an element is a class of one-liners. No logic.

The format is libvirt's (https://libvirt.org/formatdomain.html). Called by domain_xml only.
"""

from hostagent.compute.hypervisors.libvirt.xml_elements import Children, Element, Flag, Value

# Marks a domain as ours, and whose: a name alone proves nothing.
NAMESPACE = "https://pileus.cloud/xmlns/domain/1"


class Owner(Element):
    tag = f"{{{NAMESPACE}}}instance"
    nsmap = {"pileus": NAMESPACE}
    instance_id = Value("@id")
    host_id = Value("@host")


class Feature(Element):
    tag = "feature"
    policy = Value("@policy")
    name = Value("@name")


class Cpu(Element):
    tag = "cpu"
    mode = Value("@mode")
    match = Value("@match")
    check = Value("@check")
    model = Value("model")
    features = Children("")


class Entry(Element):
    tag = "entry"
    name = Value("@name")
    text = Value("")


class Address(Element):
    """On a PCI bus; function 0 of a slot of its own."""

    tag = "address"
    kind = Value("@type")
    bus = Value("@bus")
    slot = Value("@slot")


class BackingStore(Element):
    """Stated to its end, an empty one, so that libvirt probes no file for a format."""

    tag = "backingStore"
    kind = Value("@type")
    disk_format = Value("format/@type")
    path = Value("source/@file")
    below = Children("")


class DiskDevice(Element):
    """A file of this host, or an NBD export of another one."""

    tag = "disk"
    kind = Value("@type")
    device = Value("@device")
    driver = Value("driver/@name")
    disk_format = Value("driver/@type")
    cache = Value("driver/@cache")
    discard = Value("driver/@discard")
    error_policy = Value("driver/@error_policy")
    read_error_policy = Value("driver/@rerror_policy")
    path = Value("source/@file")
    protocol = Value("source/@protocol")
    export = Value("source/@name")
    tls = Value("source/@tls")
    tls_host = Value("source/@tlsHostname")
    server = Value("source/host/@name")
    port = Value("source/host/@port")
    reconnect_s = Value("source/reconnect/@delay")
    backing = Children("")
    target = Value("target/@dev")
    bus = Value("target/@bus")
    bytes_per_s = Value("iotune/total_bytes_sec")
    iops = Value("iotune/total_iops_sec")
    serial = Value("serial")
    boot_order = Value("boot/@order")
    alias = Value("alias/@name")
    address = Children("")


class DiskSnapshot(Element):
    tag = "disk"
    target = Value("@name")
    snapshot = Value("@snapshot")
    disk_format = Value("driver/@type")
    path = Value("source/@file")


class DomainSnapshot(Element):
    """What virDomainSnapshotCreateXML takes."""

    tag = "domainsnapshot"
    disks = Children("disks")


class Interface(Element):
    """On a tap that the network driver made; ``managed`` "no" keeps libvirt's hands off it."""

    tag = "interface"
    kind = Value("@type")
    mac_address = Value("mac/@address")
    tap = Value("target/@dev")
    managed = Value("target/@managed")
    model = Value("model/@type")
    mtu = Value("mtu/@size")
    rom = Value("rom/@enabled")
    alias = Value("alias/@name")
    address = Children("")


class Controller(Element):
    tag = "controller"
    kind = Value("@type")
    index = Value("@index")
    model = Value("@model")
    address = Children("")


class Serial(Element):
    tag = "serial"
    kind = Value("@type")
    path = Value("source/@path")
    append = Value("source/@append")
    port = Value("target/@port")


class Channel(Element):
    tag = "channel"
    kind = Value("@type")
    target_type = Value("target/@type")
    target_name = Value("target/@name")


class Balloon(Element):
    tag = "memballoon"
    model = Value("@model")
    stats_period = Value("stats/@period")
    address = Children("")


class Rng(Element):
    tag = "rng"
    model = Value("@model")
    backend = Value("backend/@model")
    source = Value("backend")
    address = Children("")


class Domain(Element):
    tag = "domain"
    kind = Value("@type")
    name = Value("name")
    uuid = Value("uuid")
    metadata = Children("metadata")
    memory_unit = Value("memory/@unit")
    memory = Value("memory")
    vcpus = Value("vcpu")
    sysinfo = Value("sysinfo/@type")
    system = Children("sysinfo/system")
    arch = Value("os/type/@arch")
    machine = Value("os/type/@machine")
    os_type = Value("os/type")
    smbios = Value("os/smbios/@mode")
    acpi = Flag("features/acpi")
    apic = Flag("features/apic")
    tcg_cache_unit = Value("features/tcg/tb-cache/@unit")
    tcg_cache = Value("features/tcg/tb-cache")
    cpu = Children("")
    clock = Value("clock/@offset")
    on_poweroff = Value("on_poweroff")
    on_reboot = Value("on_reboot")
    on_crash = Value("on_crash")
    devices = Children("devices")
