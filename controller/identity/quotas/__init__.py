"""How much of each thing an account may have, and how much it has."""
