"""Networks: VPCs and what lives in them, a package for each noun."""
