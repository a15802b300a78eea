"""Step: the images that the disks stand on are on this host."""

from hostagent.steps import Context


class Image:
    name = "image"

    def ensure(self, ctx: Context) -> None:
        """Raises NotYet while one is being fetched."""
        if ctx.alive:
            return
        for disk in ctx.spec.disks:
            if disk.image.digest:
                ctx.bases[disk.volume_id] = ctx.on.images.ensure(disk.image)

    def undo(self, ctx: Context) -> None:
        """Nothing: the cache is bounded by itself, and the next one may want the same image."""
