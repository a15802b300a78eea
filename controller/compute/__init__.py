"""Instances and what is theirs: types, launches, placement, attachments, key pairs."""
