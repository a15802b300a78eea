"""Weighers: one module each, named in the configuration with a multiplier, with

    def weigh(host: Candidate, ask: Ask) -> float

the more, the better. The scale is the weigher's own: over the hosts at hand the least becomes 0,
the most 1; then the multiplier counts, a negative one turns the preference round.
"""
