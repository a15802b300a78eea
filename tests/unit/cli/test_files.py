"""What `up` writes: certificates as the services check them, configurations that they accept."""

import random
import stat
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from cli import cloud, configs, libvirtd, pki
from cli.cloud import Wishes, own_address
from cli.errors import CliError
from cli.layout import Layout
from controller import config as controller_config
from controller.identity.sealing import read_master_key
from gateway import config as gateway_config
from hostagent import config as hostagent_config

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def layout(tmp_path_factory) -> Layout:
    root = tmp_path_factory.mktemp("s")  # short: libvirt's socket is below it
    made = Layout.of(root / "state", root / "cache")
    made.make()
    return made


def chosen(layout, **wishes) -> cloud.Cloud:
    return cloud.choose(layout, Wishes(**wishes), lambda port: True, [])


def names_of(path) -> x509.SubjectAlternativeName:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def test_a_certificate_that_is_torn_is_issued_anew(layout):
    fake = chosen(layout, hypervisor="fake")
    pki.ensure(layout, fake, NOW)
    path = layout.pki / "controller.crt"
    path.write_bytes(path.read_bytes()[:100])
    assert pki.ensure(layout, fake, NOW)
    assert names_of(path) and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not pki.ensure(layout, fake, NOW)


def test_certificates_are_made_once(layout):
    fake = chosen(layout, hypervisor="fake")
    assert pki.ensure(layout, fake, NOW)
    before = {path.name: path.read_bytes() for path in layout.pki.iterdir()}
    assert not pki.ensure(layout, fake, NOW + timedelta(days=300))
    assert before == {path.name: path.read_bytes() for path in layout.pki.iterdir()}


def test_certificates_say_who_they_are_for(layout):
    pki.ensure(layout, chosen(layout, listen="192.0.2.7"), NOW)
    assert names_of(layout.pki / "controller.crt").get_values_for_type(x509.DNSName) == [
        "controller.pileus"
    ]
    addresses = names_of(layout.pki / "endpoint.crt").get_values_for_type(x509.IPAddress)
    assert "192.0.2.7" in map(str, addresses)
    authority = x509.load_pem_x509_certificate(layout.ca.read_bytes())
    for name in ("controller", "gateway", "endpoint"):
        issued = x509.load_pem_x509_certificate((layout.pki / f"{name}.crt").read_bytes())
        issued.verify_directly_issued_by(authority)


def test_certificates_are_renewed_and_follow_the_address(layout):
    fake = chosen(layout, hypervisor="fake")
    pki.ensure(layout, fake, NOW)
    authority = layout.ca.read_bytes()
    assert pki.ensure(layout, fake, NOW + timedelta(days=pki.CERTIFICATE_DAYS - 1))
    moved = chosen(layout, hypervisor="fake", listen="192.0.2.9")
    assert pki.ensure(layout, moved, NOW + timedelta(days=pki.CERTIFICATE_DAYS))
    assert layout.ca.read_bytes() == authority


def test_secrets_are_for_their_owner_only(layout):
    fake = chosen(layout, hypervisor="fake")
    pki.ensure(layout, fake, NOW)
    configs.ensure_master_key(layout)
    configs.write_host(layout, fake, ["pileus-join:x"])
    secrets = [*layout.pki.glob("*.key"), layout.master_key, layout.config("host")]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in secrets)


def test_the_controller_reads_its_master_key(layout):
    assert configs.ensure_master_key(layout) and not configs.ensure_master_key(layout)
    key = read_master_key(layout.master_key, random.Random(1))
    assert key.open(key.seal("secret", "owner"), "owner") == "secret"


def test_the_services_accept_their_configurations(layout):
    real = chosen(layout, hypervisor="qemu", listen="192.0.2.7", public_cidr="198.51.100.0/25")
    configs.write_controller(layout, real)
    configs.write_gateway(layout, real)
    configs.write_host(layout, real, ["pileus-join:x"])
    controller = controller_config.load(layout.config("controller"))
    assert controller.endpoint == f"192.0.2.7:{real.controller_port}"
    assert controller.region.zones[0].id == "use1-az1"
    assert controller.networks.public_pool == "198.51.100.0/25"
    gateway = gateway_config.load(layout.config("gateway"))
    assert gateway.tls_files == (layout.pki / "endpoint.crt", layout.pki / "endpoint.key")
    host = hostagent_config.load(layout.config("host"))
    assert (host.join_token, host.network.prefix) == ("pileus-join:x", real.network_prefix)
    assert host.controller == gateway.controller == controller.listen
    assert host.libvirt.uri == f"qemu:///system?socket={layout.libvirt_socket}"
    assert host.volumes.listen == host.volumes.endpoint == f"192.0.2.7:{real.volume_port}"


def test_several_zones_are_the_first_ones_hosts(layout):
    configs.write_controller(layout, chosen(layout, zones=3))
    zones = controller_config.load(layout.config("controller")).region.zones
    assert [(zone.name, zone.id) for zone in zones] == [
        ("us-east-1a", "use1-az1"),
        ("us-east-1b", "use1-az2"),
        ("us-east-1c", "use1-az3"),
    ]
    assert all("us-east-1a" in zone.homes for zone in zones)


def test_which_signatures_the_gateway_takes(layout):
    for wishes in ({}, {"sigv2": True, "signing_region": "any"}):
        configs.write_gateway(layout, chosen(layout, **wishes))
        gateway = gateway_config.load(layout.config("gateway"))
        assert gateway.sigv2 is bool(wishes)
        assert gateway.signing_region == wishes.get("signing_region", "")


@pytest.mark.parametrize(
    ("listen", "address"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", own_address())]
)
def test_volumes_are_served_where_the_cloud_is_open(layout, listen, address):
    real = chosen(layout, hypervisor="qemu", listen=listen)
    configs.write_host(layout, real, ["pileus-join:x"])
    volumes = hostagent_config.load(layout.config("host")).volumes
    assert volumes.listen == f"{listen}:{real.volume_port}"
    assert volumes.endpoint == f"{address}:{real.volume_port}"


def test_libvirts_qemu_finds_the_hosts_certificates(layout):
    folder = configs.nbd_folder(layout, chosen(layout, hypervisor="qemu"))
    libvirtd.prepare(layout, folder, "this boot")
    told = (layout.libvirt / "etc" / "qemu.conf").read_text()
    assert f'nbd_tls_x509_cert_dir = "{folder}"\n' in told and folder.is_dir()


def test_several_fake_hosts_in_one_process(layout):
    fake = chosen(layout, hypervisor="fake", hosts=3)
    configs.write_host(layout, fake, ["t1", "t2", "t3"])
    each = hostagent_config.load(layout.config("host")).each()
    assert [one.name for one in each] == configs.host_names(fake)
    assert [one.state_dir for one in each] == [
        layout.host(name) for name in configs.host_names(fake)
    ]
    assert [one.join_token for one in each] == ["t1", "t2", "t3"]


def test_an_operators_own_keys_win(layout):
    fake = chosen(layout, hypervisor="fake")
    extra = layout.root / "extra"
    extra.mkdir()
    (extra / "controller.toml").write_text("[scheduler]\nram_ratio = 1.0\n")
    configs.write_controller(layout, fake)
    assert controller_config.load(layout.config("controller")).scheduler.ram_ratio == 1.0
    (extra / "controller.toml").write_text("[scheduler\n")
    with pytest.raises(CliError, match=r"extra/controller\.toml"):
        configs.write_controller(layout, fake)


def test_an_unchanged_configuration_is_not_written_again(layout):
    fake = chosen(layout, hypervisor="fake")
    configs.write_gateway(layout, fake)
    before = layout.config("gateway").stat().st_mtime_ns
    configs.write_gateway(layout, fake)
    assert layout.config("gateway").stat().st_mtime_ns == before
