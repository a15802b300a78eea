"""Where new instances go. Pure: it proposes from a snapshot; the claim in the database decides."""
