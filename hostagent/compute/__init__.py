"""Guests: what becomes of an instance on this host, and the hypervisors that run it."""
