"""Route tables, their routes, and internet gateways."""
