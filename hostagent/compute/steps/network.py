"""Step: taps, where the hypervisor opens them. They lie unconnected, and down, until the domain is
joined to its subnets; its VPC is made meanwhile.
"""

from hostagent.compute.steps import Context


class Network:
    name = "network"

    def ensure(self, ctx: Context) -> None:
        """A tap that a live domain holds open is left. Raises DriverError, transient, for a VPC
        that the controller has not described yet: no domain is made for nothing.
        """
        for vpc_id in ctx.vpc_ids:
            ctx.on.vpcs.require(vpc_id)
        if not ctx.alive:
            ctx.ports = [ctx.on.network.ensure_port(nic) for nic in ctx.spec.nics]

    def undo(self, ctx: Context) -> None:
        for nic in ctx.spec.nics:
            ctx.on.network.remove_port(nic)
        if ctx.ending:
            ctx.on.vpcs.release(ctx.spec)
