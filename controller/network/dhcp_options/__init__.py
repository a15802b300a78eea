"""DHCP options: what a VPC's guests are told with their addresses."""
