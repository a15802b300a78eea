"""Disk files: qcow2 overlays, behind drivers.Volumes."""
