"""RunInstances."""
