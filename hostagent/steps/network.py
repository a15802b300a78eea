"""Step: the VPC here knows the instance (DHCP, metadata, firewall, NAT), and its taps are made."""

from hostagent.steps import Context


class Network:
    name = "network"

    def ensure(self, ctx: Context) -> None:
        """The firewall is in place before the tap; a tap that a live domain holds open is left."""
        for vpc_id in sorted({nic.vpc_id for nic in ctx.spec.nics}):
            ctx.on.vpcs.ensure(vpc_id)
        if not ctx.alive:
            ctx.ports = [ctx.on.network.ensure_port(nic) for nic in ctx.spec.nics]

    def undo(self, ctx: Context) -> None:
        for nic in ctx.spec.nics:
            ctx.on.network.remove_port(nic)
        if ctx.ending:
            ctx.on.vpcs.release(ctx.spec)
