"""Instance types."""
