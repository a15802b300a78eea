"""Injects faults into a simulated cloud: a seeded stream of them.

    FaultInjector(cloud, rng).step()   one more fault, of a kind and at a place drawn from the seed

Processes lose their power at a checkpoint to come or between two events, machines fail, the network
loses, delays and doubles, hosts are cut off and die amid copies, hypervisors and drivers misbehave,
hypervisors' daemons go away, what serves volumes dies, guests crash, fall silent, listen to nobody
or power themselves off.
``SimCloud.calm_down`` ends all of it.
"""

import random

from hostagent.compute.drivers import Power
from hostagent.compute.hypervisors.fake_guests import Faults
from tests.harness.cloud import SimCloud
from tests.harness.network import NO_FAULTS, NetworkFaults
from tests.harness.workload import swarm

NETWORK_FAULTS = (
    NO_FAULTS,
    NetworkFaults(lost=0.05, reply_lost=0.05, late=0.05, doubled=0.05),
    NetworkFaults(lost=0.3, reply_lost=0.1),
    NetworkFaults(late=0.3, doubled=0.3, late_ms=8_000),
    NetworkFaults(reply_lost=0.4),
)
FAULTS = (
    Faults(call_fails=0.2, forgets=0.5),
    Faults(create_fails=0.4),
    Faults(create_fails=0.1, call_fails=0.1, crash=0.2, powers_off=0.1, deaf=0.2, lost_event=0.3),
    Faults(deaf=0.5, lost_event=0.5, forgets=0.5),
    Faults(never_works=0.3),
    Faults(crash=0.6, crash_ms=5_000, forgets=0.5),
)


class FaultInjector:
    """See the module's head. ``may_kill_for_good``: whether a host may die for ever, once."""

    def __init__(self, cloud: SimCloud, rng: random.Random, *, may_kill_for_good: bool):
        self._cloud, self._rng, self._may_kill_for_good = cloud, rng, may_kill_for_good
        self._kinds = [kind for kind, _ in KINDS]
        self._weights = swarm(
            rng, KINDS, always=(FaultInjector.cut_controller, FaultInjector.cut_agent)
        )

    def step(self) -> None:
        kind = self._rng.choices(self._kinds, self._weights)[0]
        done = kind(self)
        self._cloud.say(f"fault: {kind.__name__} {done or ''}")

    def cut_controller(self) -> str:
        checkpoints = self._rng.randint(1, 12)
        self._cloud.controller.supply.cut_in(checkpoints)
        return f"in {checkpoints}"

    def kill_controller(self) -> None:
        if self._cloud.controller.alive:
            self._cloud.controller.lose_power("killed")

    def cut_agent(self) -> str:
        host, checkpoints = self._a_host(), self._rng.randint(1, 25)
        host.supply.cut_in(checkpoints)
        return f"of {host.name} in {checkpoints}"

    def kill_agent(self) -> str:
        host = self._a_host()
        if host.alive:
            host.lose_power("killed")
        return host.name

    def fail_machine(self) -> str:
        host = self._a_host()
        host.fail()
        return host.name

    def lose_ledger(self) -> str:
        host = self._a_host()
        host.lose_ledger()
        return host.name

    def kill_host_for_good(self) -> str:
        if not self._may_kill_for_good:
            return "not this time"
        self._may_kill_for_good = False
        host = self._a_host()
        self._cloud.kill_for_good(host)
        return host.name

    def change_network_faults(self) -> str:
        self._cloud.network.faults = self._rng.choice(NETWORK_FAULTS)
        return str(self._cloud.network.faults)

    def cut_off(self) -> str:
        """A host, the gateway or the controller cannot be reached for a while."""
        name = self._rng.choice([host.name for host in self._cloud.hosts] * 3 + ["gateway"])
        network = self._cloud.network
        network.cut_off.add(name)
        duration_ms = self._rng.choice([500, 5_000, 20_000, 90_000])
        self._cloud.events.after(
            duration_ms, f"{name} is back", lambda: network.cut_off.discard(name)
        )
        return f"{name} for {duration_ms}"

    def break_drivers(self) -> str:
        """A host's hypervisor and drivers misbehave for a while; whoever is there may be harmed."""
        host, faults = self._a_host(), self._rng.choice(FAULTS)
        others = self._rng.choice([0.0, 0.0, 0.2])
        host.misbehave(faults, others)
        self._cloud.harmed_hosts.add(host.host_id)
        duration_ms = self._rng.randrange(2_000, 20_000)
        self._cloud.events.after(duration_ms, f"{host.name} behaves", host.behave)
        return f"{host.name} {faults} {others}"

    def take_hypervisor_away(self) -> str:
        """A host's hypervisor daemon is not there for a while, longer than all tries of anything.
        That harms nobody: what needs it waits.
        """
        host, duration_ms = self._a_host(), self._rng.choice([1_000, 10_000, 40_000, 120_000])
        host.hypervisor.leave(duration_ms)
        return f"{host.name} for {duration_ms}"

    def mute_guests(self) -> str:
        """No guest of a host answers on its network for a while, nor any that starts there."""
        host, duration_ms = self._a_host(), self._rng.choice([1_000, 10_000, 30_000])
        host.network.mute.add("*")
        self._cloud.events.after(
            duration_ms, f"{host.name}'s guests answer", host.network.mute.clear
        )
        return f"{host.name} for {duration_ms}"

    def deafen_guest(self) -> str:
        """For a while it neither shuts down when asked nor lets go of a device."""
        host = self._a_host()
        living = [host.state.guests[name] for name in host.living()]
        if not living:
            return "nobody"
        guest, duration_ms = self._rng.choice(living), self._rng.choice([5_000, 30_000, 90_000])
        self._cloud.deafened.append(guest)
        guest.deaf = True
        self._cloud.events.after(
            duration_ms, "a guest listens", lambda: setattr(guest, "deaf", False)
        )
        return f"on {host.name} for {duration_ms}"

    def kill_server(self) -> str:
        """What serves a host's volumes to others dies."""
        host = self._a_host()
        host.exports.lose_power()
        return host.name

    def interrupt_copy(self) -> str:
        """Where a snapshot waits, or is copied: the machine fails, or the agent is cut soon."""
        copying = [host for host in self._cloud.hosts if host.alive and host.copies()]
        if not copying:
            return "nobody copies"
        host = self._rng.choice(copying)
        if self._rng.random() < 0.4:
            host.fail()
            return f"the machine of {host.name}"
        checkpoints = self._rng.randint(1, 6)
        host.supply.cut_in(checkpoints)
        return f"of {host.name} in {checkpoints}"

    def collect_blocks(self) -> str:
        """As if those that nobody needs were old already."""
        self._cloud.controller.collect_blocks(kept_s=self._rng.choice([30, 60]))
        return ""

    def power_off_guest(self) -> str:
        return self._end_guest("power_off_inside")

    def crash_guest(self) -> str:
        return self._end_guest("crash")

    def _end_guest(self, how: str) -> str:
        host = self._a_host()
        running = [
            name
            for name in host.domains()
            if host.hypervisor.state.guests[name].power == Power.RUNNING.value
        ]
        if not running:
            return "nobody"
        name = self._rng.choice(running)
        self._cloud.harmed.add(name)
        getattr(host.hypervisor, how)(name)
        return name

    def _a_host(self):
        return self._rng.choice(self._cloud.hosts)


KINDS = (
    (FaultInjector.cut_controller, 14),
    (FaultInjector.kill_controller, 3),
    (FaultInjector.cut_agent, 20),
    (FaultInjector.kill_agent, 4),
    (FaultInjector.fail_machine, 3),
    (FaultInjector.lose_ledger, 1),
    (FaultInjector.kill_host_for_good, 1),
    (FaultInjector.change_network_faults, 8),
    (FaultInjector.cut_off, 6),
    (FaultInjector.break_drivers, 5),
    (FaultInjector.take_hypervisor_away, 5),
    (FaultInjector.mute_guests, 4),
    (FaultInjector.deafen_guest, 4),
    (FaultInjector.kill_server, 3),
    (FaultInjector.interrupt_copy, 5),
    (FaultInjector.collect_blocks, 3),
    (FaultInjector.power_off_guest, 5),
    (FaultInjector.crash_guest, 4),
)
