"""Network ACLs, as far as a VPC has them by itself."""
