"""Every table, a file for each district; nothing else."""
