"""The demo image: a small bootable disk built from Debian's packages, without root or loop device.

    path = demo_image.ensure(cache, say)     -> .../pileus-demo-<key>.qcow2, built once for a key

Called by ``pileus up`` and by the real tests. The guest's own files lie under ``guest/`` as they
are in the guest.
"""

from cli.demo_image.build import ensure
from cli.demo_image.debian import BuildError

__all__ = ["BuildError", "ensure"]
