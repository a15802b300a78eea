"""Subnets: a part of a VPC's addresses in one zone."""
