"""The region, its zones, and what an account is told about itself."""
