"""Networks: VPCs and what lives in them, interfaces, security groups, public addresses."""
