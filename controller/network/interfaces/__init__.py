"""Network interfaces and their private addresses."""
