"""Guests of 512 bytes: a boot sector that greets on the serial port and then minds its power
button.

    boot_sector(Guest.LISTENS)   powers off when the ACPI power button is pressed
    boot_sector(Guest.DEAF)      never does
    boot_sector(Guest.LEAVES)    powers itself off at once

They boot in less than a second even under emulation. Ports are those that SeaBIOS gives QEMU's
"pc": ACPI's PM1 status at 0x600, enable at 0x602, control at 0x604; COM1 at 0x3f8.
"""

from enum import Enum

GREETING = b"hello from the guest\r\n"


class Guest(Enum):
    LISTENS = "listens"
    DEAF = "deaf"
    LEAVES = "leaves"


def boot_sector(guest: Guest, size: int = 1 << 20) -> bytes:
    """A raw disk image of ``size`` bytes."""
    code = bytes.fromhex(
        "31c0 8ed8"  # xor ax, ax; mov ds, ax
        "be 0000"  # mov si, greeting (patched below)
        "ac 84c0 7406"  # next: lodsb; test al, al; jz done
        "ba f803 ee ebf5"  # mov dx, 0x3f8; out dx, al; jmp next
    )
    listen = bytes.fromhex(
        "ba 0206 b8 0001 ef"  # done: mov dx, 0x602; mov ax, 0x0100; out dx, ax
        "fb f4"  # wait: sti; hlt
        "ba 0006 ed f6c401 74f5"  # mov dx, 0x600; in ax, dx; test ah, 1; jz wait
    )
    power_off = bytes.fromhex("ba 0406 b8 0020 ef")  # mov dx, 0x604; mov ax, 0x2000; out dx, ax
    idle = bytes.fromhex("fb f4 ebfc")  # sti; hlt; jmp
    body = {
        Guest.LISTENS: listen + power_off,
        Guest.DEAF: b"",
        Guest.LEAVES: power_off,
    }[guest]
    program = bytearray(code + body + idle)
    at = 0x7C00 + len(program)
    program[5:7] = at.to_bytes(2, "little")
    sector = bytes(program) + GREETING + b"\0"
    return sector.ljust(510, b"\0") + b"\x55\xaa" + bytes(size - 512)
