"""Words that several nouns of storage read of each other. Pure."""

# Statuses of images (images/rules): of those that keep their name; that are not found any more.
LIVING = ("queued", "saving", "snapshotting", "active")
GONE = ("pending_delete", "deleted")
# What is seen of a volume that is not made and is not waited for (volumes/state).
UNMADE = ("failed", "lost")
