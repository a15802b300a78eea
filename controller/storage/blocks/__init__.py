"""The store of snapshots' blocks and manifests, and their way from and to the hosts."""
