"""Between controller and hosts: what a host should know (host_spec), what it says (reports), and
the sending."""
