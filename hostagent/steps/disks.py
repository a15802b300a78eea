"""Step: the volumes' files are there, of the right size. They stay over stop and start."""

from hostagent.steps import Context, console_files


class Disks:
    name = "disks"

    def ensure(self, ctx: Context) -> None:
        if not ctx.alive:  # an open disk is the guest's
            ctx.disks = [
                ctx.on.volumes.ensure(disk, ctx.bases.get(disk.volume_id))
                for disk in ctx.spec.disks
            ]

    def undo(self, ctx: Context) -> None:
        """Only at the instance's end: a volume that outlives it stays, the console's log goes."""
        if not ctx.ending:
            return
        for disk in ctx.spec.disks:
            if disk.delete_on_termination:
                ctx.on.volumes.remove(disk.volume_id)
        for part in console_files(ctx.on.consoles, ctx.spec.instance_id):
            part.unlink(missing_ok=True)
