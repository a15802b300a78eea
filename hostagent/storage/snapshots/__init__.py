"""Snapshots on this host: frozen layers become manifests of blocks, and manifests become files."""
