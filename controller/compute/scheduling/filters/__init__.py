"""Filters: one module each, named in the configuration, with

    def refuses(host: Candidate, ask: Ask, settings: Settings) -> str

which answers "" or, in a few words that fit behind "3 hosts …", why this host cannot take the
instance.
"""
