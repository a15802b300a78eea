"""Schedulers: one module each, named in the configuration, with

    def choose(fitting: Sequence[Candidate], scores: Sequence[float], rng: random.Random) -> str

the id of one of the hosts that passed the filters; ``scores`` are their weights in the same order.
``rng`` is passed in.
"""
