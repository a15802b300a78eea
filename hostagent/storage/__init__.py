"""The disks of this host: cached images, volumes and what serves them, snapshots."""
