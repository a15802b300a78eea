"""Step: the guest. Made paused, joined to its subnets and only then let go, so that its first DHCP
packet is heard.

QEMU takes most of a launch's time to start; the work queue makes the VPC ready in the meantime, and
what is left of that is done here. A tap is plugged behind its firewall or not at all.
"""

from hostagent.compute.drivers import Power
from hostagent.compute.steps import Context


class Domain:
    name = "domain"

    def ensure(self, ctx: Context) -> None:
        spec, hypervisor = ctx.spec, ctx.on.hypervisor
        if not ctx.alive:
            with ctx.on.manager.held(disk.volume_id for disk in ctx.disks):
                disks = [ctx.on.manager.find(disk) for disk in spec.disks]  # maybe a layer more
                hypervisor.create_paused(spec, disks, ctx.ports, ctx.console)
        for vpc_id in ctx.vpc_ids:
            ctx.on.vpcs.ensure(vpc_id)
        if not ctx.alive:  # else its devices are seen to while it runs
            for nic in spec.nics:
                ctx.on.vpcs.plug(nic)
        if hypervisor.power(spec.instance_id) is Power.PAUSED:
            hypervisor.resume(spec.instance_id)

    def undo(self, ctx: Context) -> None:
        ctx.on.hypervisor.remove(ctx.spec.instance_id)
