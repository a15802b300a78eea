"""For real: what a guest finds when it comes up. DHCP, names, the metadata service."""

import socket
import struct
import threading

import pytest

from hostagent.kernel import shell
from hostagent.network.config import mac_of
from protos.cloud.v1 import instances_pb2
from tests.real.network_guests import connect, eventually, within
from tests.real.network_lab import EVERYTHING_OUT, Lab

pytestmark = pytest.mark.real

TTL = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"
DOCUMENT = "/latest/dynamic/instance-identity/document"
SCRIPT = """#!/bin/sh
[ "$1" = bound ] && env | grep -E '^(ip|mask|router|dns|domain|mtu|hostname|lease)=' > "$OUT"
exit 0
"""


@pytest.fixture(scope="module")
def lab():
    lab = Lab("pnwg")
    try:
        yield lab
    finally:
        lab.close()


@pytest.fixture(scope="module")
def guest(lab):
    vpc = lab.vpc(1)
    closed = lab.group(vpc, 1, EVERYTHING_OUT)
    return lab.configure(lab.start(vpc, 10, [closed], user_data=b"#!/bin/sh\n\x00\xff"))


def lease(guest, tmp_path) -> dict[str, str]:
    script, out = tmp_path / "script", tmp_path / "lease"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    argv = ["busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "3", "-T", "2"]
    argv += ["-O", "mtu", "-O", "hostname", "-s", script]
    shell.run(argv, netns=guest.namespace, env={"OUT": str(out)}, accept=(0, 1))
    rows = out.read_text().splitlines() if out.exists() else []
    return dict(row.split("=", 1) for row in rows)


def test_a_guest_gets_its_address_and_what_goes_with_it(lab, guest, tmp_path):
    got = lease(guest, tmp_path)
    assert (
        got.items()
        >= {
            "ip": "172.31.0.10",
            "mask": "20",
            "router": "172.31.0.1",
            "dns": "172.31.0.2",
            "domain": "ec2.internal",
            "hostname": "ip-172-31-0-10",
            "lease": "3600",
        }.items()
    )
    assert int(got["mtu"]) == lab.network.ensure_port(guest.nic).mtu


def test_a_stranger_on_the_wire_gets_no_lease(lab, tmp_path):
    vpc = lab.vpc(2)
    guest = lab.start(vpc, 20, [lab.group(vpc, 2, EVERYTHING_OUT)])
    try:
        guest.run("ip", "link", "set", "eth0", "address", "02:16:3e:99:99:99")
        assert lease(guest, tmp_path) == {}
    finally:
        lab.power_off(guest)


def test_an_address_given_to_another_guest_is_leased_anew(lab, tmp_path):
    vpc = lab.vpc(3)
    group = lab.group(vpc, 3, EVERYTHING_OUT)
    first = lab.start(vpc, 30, [group])
    assert lease(first, tmp_path)["ip"] == "172.31.0.30"
    lab.power_off(first)
    lab.network.remove_port(first.nic)
    second = lab.start(vpc, 31, [group])
    second.nic.private_ip_address = second.instance.nics[0].private_ip_address = "172.31.0.30"
    lab.ensure(vpc)
    (tmp_path / "lease").unlink()
    assert lease(second, tmp_path)["ip"] == "172.31.0.30"


def ask(guest, server: str, name: str, stream: bool = False) -> list[str]:
    """IPv4 addresses that a DNS server answers for a name."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    question = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0\0\x01\0\x01"

    def exchange() -> bytes:
        kind = socket.SOCK_STREAM if stream else socket.SOCK_DGRAM
        with socket.socket(socket.AF_INET, kind) as sock:
            sock.settimeout(3)
            sock.connect((server, 53))
            sock.sendall(struct.pack(">H", len(question)) * stream + question)
            return sock.recv(4096)[2 * stream :]

    answer = within(guest.namespace, exchange)
    count = struct.unpack(">H", answer[6:8])[0]
    return [socket.inet_ntoa(answer[-4:])] if count else []


@pytest.mark.parametrize("server", ["172.31.0.2", "169.254.169.253"])
def test_names_of_the_vpc_resolve(guest, server):
    assert ask(guest, server, "ip-172-31-0-10.ec2.internal") == ["172.31.0.10"]
    assert ask(guest, server, "ip-172-31-9-9.ec2.internal", stream=True) == ["172.31.9.9"]
    assert ask(guest, server, "nobody.ec2.internal") == []


@pytest.fixture(scope="module")
def resolver(lab):
    """Outside: says 9.9.9.9 for every name."""
    outside = lab.add_outside()
    server = within(outside, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    server.bind(("198.18.77.2", 53))

    def serve():
        while True:
            try:
                question, peer = server.recvfrom(4096)
            except OSError:
                return
            head = question[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0)
            body = question[12 : question.index(b"\0", 12) + 5]
            answer = struct.pack(">HHHIH4s", 0xC00C, 1, 1, 60, 4, bytes((9, 9, 9, 9)))
            server.sendto(head + body + answer, peer)

    threading.Thread(target=serve, daemon=True).start()
    yield
    server.close()


def test_other_names_are_asked_for_outside(guest, resolver):
    assert ask(guest, "172.31.0.2", "www.example.com") == ["9.9.9.9"]


def test_a_public_name_leads_to_the_private_address_inside_its_vpc(lab, guest, resolver):
    """From the moment at which it has one to the moment at which it has another."""
    first, second, elsewhere = (f"ec2-100-126-7-{n}.cloud.example" for n in (50, 51, 52))
    lab.associate(guest, "100.126.7.50", name=first)
    assert eventually(lambda: ask(guest, "172.31.0.2", first) == ["172.31.0.10"])
    assert ask(guest, "172.31.0.2", elsewhere) == ["9.9.9.9"]
    said = guest.run("busybox", "nslookup", "172.31.0.10", "172.31.0.2").stdout
    assert "name = ip-172-31-0-10.ec2.internal" in said and "cloud.example" not in said
    lab.associate(guest, "100.126.7.51", name=second)
    assert eventually(lambda: ask(guest, "172.31.0.2", second) == ["172.31.0.10"])
    assert ask(guest, "172.31.0.2", first) == ["9.9.9.9"]
    assert ask(guest, "172.31.0.2", "ip-172-31-0-10.ec2.internal") == ["172.31.0.10"]


def test_metadata_without_a_token(guest):
    assert guest.http("/latest/meta-data/local-ipv4") == (200, "172.31.0.10")
    assert guest.http("/latest/meta-data/instance-id") == (200, guest.instance.instance_id)
    assert guest.http("//latest/meta-data//instance-id/") == (200, guest.instance.instance_id)
    assert guest.http("/latest/") == (200, "dynamic\nmeta-data\nuser-data")
    assert '  "privateIp" : "172.31.0.10",\n' in guest.http(DOCUMENT)[1]
    assert guest.http("/2009-04-04/meta-data/public-keys/") == (200, "0=mykey")
    assert guest.http("/latest/meta-data/public-keys/0/openssh-key") == (200, "ssh-rsa AAAA\n")
    assert guest.http("/latest/meta-data/nothing")[0] == 404


def test_user_data_are_bytes(guest):
    with connect(guest.namespace, "169.254.169.254", 80) as connection:
        connection.sendall(b"GET /latest/user-data HTTP/1.0\r\n\r\n")
        assert connection.makefile("rb").read().endswith(b"\r\n\r\n#!/bin/sh\n\x00\xff")


def test_a_token_is_bound_to_its_interface(lab, guest):
    vpc = guest.nic.vpc_id
    required = instances_pb2.MetadataOptions(http_tokens="required", http_put_response_hop_limit=1)
    other = lab.configure(lab.start(vpc, 11, guest.nic.security_group_ids, options=required))
    status, token = other.http("/latest/api/token", "PUT", **{TTL: "60"})
    assert status == 200
    assert other.http("/latest/meta-data/mac")[0] == 401
    assert other.http("/latest/meta-data/mac", **{TOKEN: token}) == (200, other.nic.mac_address)
    assert guest.http("/latest/meta-data/mac", **{TOKEN: token})[0] == 401
    assert (
        other.http("/latest/api/token", "PUT", **{TTL: "60", "X-Forwarded-For": "1.2.3.4"})[0]
        == 403
    )
    packets = [f for f in other.seen if f[12:14] == b"\x08\0" and token.encode() in f]
    assert packets and {frame[22] for frame in packets} == {1}, "IP time to live of the answer"


def test_options_change_under_a_guest_that_runs(lab, guest):
    vpc = guest.nic.vpc_id
    other = lab.configure(lab.start(vpc, 12, guest.nic.security_group_ids))
    assert other.http("/latest/meta-data/mac") == (200, other.nic.mac_address)
    for options, status in (
        (instances_pb2.MetadataOptions(http_tokens="required"), 401),
        (instances_pb2.MetadataOptions(http_endpoint="disabled"), 403),
        (instances_pb2.MetadataOptions(), 200),
    ):
        other.instance.metadata.options.CopyFrom(options)
        lab.ensure(vpc)
        assert other.http("/latest/meta-data/mac")[0] == status
        assert guest.http("/latest/meta-data/mac")[0] == 200


def test_silent_clients_stall_nobody(guest):
    silent = [connect(guest.namespace, "169.254.169.254", 80) for _ in range(12)]
    for connection in silent:
        connection.sendall(b"GET /latest/meta-data/ HT")
    assert guest.http("/latest/meta-data/mac") == (200, guest.nic.mac_address)
    for connection in silent:
        connection.close()


def test_the_router_offers_nothing_else(guest):
    for address in ("172.31.0.1", "169.254.169.254", "172.31.0.2"):
        for port in (22, 8080):
            with pytest.raises(OSError):
                connect(guest.namespace, address, port, timeout_s=0.5)
    assert not guest.pings("172.31.0.1")
    assert eventually(lambda: any(mac(f) == mac_of(guest.nic.subnet_id) for f in guest.seen))


def mac(frame: bytes) -> str:
    return frame[6:12].hex(":")
