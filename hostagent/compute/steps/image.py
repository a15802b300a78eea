"""Step: the images that the disks stand on are on this host."""

from hostagent.compute.steps import Context


class Image:
    name = "image"

    def ensure(self, ctx: Context) -> None:
        """Raises NotYet while one is being fetched."""
        if not ctx.alive:
            for disk in ctx.spec.disks:
                ctx.on.manager.base(disk)

    def undo(self, ctx: Context) -> None:
        """Nothing: the cache is bounded by itself, and the next one may want the same image."""
