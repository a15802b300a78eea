"""Step: the guest. Made paused, joined to its subnets and only then let go, so that its first DHCP
packet is heard.

QEMU takes most of a launch's time to start; the agenda makes the VPC ready in the meantime, and
what is left of that is done here. A tap is plugged behind its firewall or not at all.
"""

from hostagent.drivers import Power
from hostagent.steps import Context


class Domain:
    name = "domain"

    def ensure(self, ctx: Context) -> None:
        spec, hypervisor = ctx.spec, ctx.on.hypervisor
        if not ctx.alive:
            hypervisor.create_paused(spec, ctx.disks, ctx.ports, ctx.console)
        for vpc_id in ctx.vpc_ids:
            ctx.on.vpcs.ensure(vpc_id)
        plug(ctx)
        if hypervisor.power(spec.instance_id) is Power.PAUSED:
            hypervisor.resume(spec.instance_id)

    def undo(self, ctx: Context) -> None:
        ctx.on.hypervisor.remove(ctx.spec.instance_id)


def plug(ctx: Context) -> None:
    """Joins every tap to its bridge that is not; also the repair of a guest that runs."""
    for nic in ctx.spec.nics:
        if not ctx.on.network.is_plugged(nic):
            ctx.on.network.plug(nic)
