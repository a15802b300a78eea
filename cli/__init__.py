"""``pileus``: the launcher of a whole cloud on one machine, and a client of its JSON API."""
