"""Frames and packets, byte by byte: what a guest may put on its wire."""

import socket
import struct

BROADCAST = "ff:ff:ff:ff:ff:ff"


def ethernet(source: str, target: str, kind: int, payload: bytes) -> bytes:
    return _mac(target) + _mac(source) + struct.pack(">H", kind) + payload


def ipv4_udp(source: str, target: str, ports: tuple[int, int], data: bytes) -> bytes:
    """An IPv4 packet with a UDP datagram (no checksum, which is allowed)."""
    udp = struct.pack(">HHHH", *ports, 8 + len(data), 0) + data
    head = struct.pack(
        ">BBHHHBBH4s4s",
        *(0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0),
        socket.inet_aton(source),
        socket.inet_aton(target),
    )
    total = sum(struct.unpack(">10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return head[:10] + struct.pack(">H", checksum) + head[12:] + udp


def arp_reply(mac: str, address: str, target_mac: str, target: str) -> bytes:
    head = struct.pack(">HHBBH", 1, 0x0800, 6, 4, 2)
    sender = _mac(mac) + socket.inet_aton(address)
    return head + sender + _mac(target_mac) + socket.inet_aton(target)


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))
