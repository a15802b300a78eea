"""VPCs: their address ranges and attributes."""
