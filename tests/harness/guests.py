"""What guests do to their disks: a seeded stream of writes, each read back before the next.

    Guests(cloud, rng).step()     one guest writes one block of one of its disks

A local disk is written at the layer that its domain has open, one of another host through what its
home serves; where nobody serves it, the guest waits. Reading anything but what was written there
last is a breach, noted in ``cloud.answers.breaches`` as what calls break is.
"""

import random

from tests.harness.cloud import SimCloud
from tests.harness.contents import BLOCK, block_of, value_in
from tests.harness.hosts import SimHost

MIB = 1024 * 1024
PLACES = (0, 17 * BLOCK, MIB, MIB + BLOCK, 700 * MIB)  # of blocks that are written, and the last


class Guests:
    """See the module's head."""

    def __init__(self, cloud: SimCloud, rng: random.Random):
        self._cloud, self._rng = cloud, rng
        self._value = 0

    def step(self) -> None:
        disks = [
            (host, guest, volume_id, layer)
            for host in self._cloud.hosts
            for volume_id, guest, layer in host.writers()
            if guest
        ]
        if not disks:
            return
        host, guest, volume_id, layer = self._rng.choice(disks)
        size_bytes = host.state.guests[guest].disks[volume_id].size_bytes
        offset = self._rng.choice((*PLACES, size_bytes - BLOCK))
        self._value += 1
        value = self._value if self._rng.random() < 0.9 else 0
        home = host
        if layer is None:
            home, layer = self._served_to(host, volume_id)
        done = layer is not None and self._write(home, guest, volume_id, layer, offset, value)
        self._cloud.say(f"{guest} writes {value} to {volume_id} at {offset}: {done}")

    def _served_to(self, host: SimHost, volume_id: str) -> tuple[SimHost | None, str | None]:
        home = self._cloud.served_to(host, volume_id)
        if home is None:
            return None, None
        return home, next(at for name, by, at in home.writers() if (name, by) == (volume_id, ""))

    def _write(
        self, home: SimHost, guest: str, volume_id: str, layer: str, offset: int, value: int
    ) -> bool:
        if not self._cloud.contents.knows(volume_id):
            return False  # one that was deleted, before anybody looked
        chain = {one.path.name: one for one in home.volumes.chain(volume_id)}
        if layer not in chain:
            self._breach(f"{guest} writes {layer}, which is not there")
            return False
        expected = self._cloud.contents.of(volume_id).get(offset, 0)
        seen = value_in(home.volumes.read(volume_id, chain[layer].number, offset, BLOCK))
        if seen != expected:
            self._breach(f"{guest} reads {seen} from {volume_id} at {offset}, not {expected}")
        home.volumes.write(volume_id, offset, block_of(value), chain[layer].path)
        self._cloud.contents.wrote(volume_id, offset, value, self._cloud.events.now_ms)
        return True

    def _breach(self, what: str) -> None:
        self._cloud.answers.breach(what)
