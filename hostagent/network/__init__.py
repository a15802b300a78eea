"""The host's networks: a namespace per VPC with router, bridges, DHCP, metadata and firewall."""
