"""Hosts: what each should make true (feed, specs), what each has seen (reports), and the sending
(delivery). Nothing here knows a kind of resource: kinds are registered in app."""
