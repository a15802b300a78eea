"""Statuses of images (storage/images/rules): of those that keep their name, and of those that are
not found any more."""

LIVING = ("queued", "saving", "snapshotting", "active")
GONE = ("pending_delete", "deleted")
