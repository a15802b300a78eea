"""Volumes: the disks of instances."""
