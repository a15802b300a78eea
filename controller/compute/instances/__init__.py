"""Instances: what the user asked for, what she sees, and what her calls change."""
