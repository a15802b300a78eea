"""Volumes: the disks of instances (root disks so far)."""
