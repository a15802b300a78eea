"""Step: the volumes' files are there, of the right size. They stay over stop and start, but for
instance-store (ephemeral) disks.
"""

from hostagent.compute.console import console_files
from hostagent.compute.steps import Context
from hostagent.storage.volumes.disk_specs import is_here, outlives


class Disks:
    name = "disks"

    def ensure(self, ctx: Context) -> None:
        if not ctx.alive:  # an open disk is the guest's
            ctx.disks = [ctx.on.manager.make(disk) for disk in ctx.spec.disks]

    def undo(self, ctx: Context) -> None:
        """A volume that outlives the instance stays; at its end the console's log goes as well."""
        for disk in ctx.spec.disks:
            ends = ctx.ending and not outlives(disk)
            if is_here(disk) and (ends or (ctx.stopping and disk.ephemeral)):
                ctx.on.manager.remove(disk.volume_id)
        if ctx.ending:
            for part in console_files(ctx.on.consoles, ctx.spec.instance_id):
                part.unlink(missing_ok=True)
