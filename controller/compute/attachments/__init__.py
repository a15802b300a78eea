"""Attachments of volumes and network interfaces to instances: one implementation for both."""
