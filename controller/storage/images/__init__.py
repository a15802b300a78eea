"""Machine images: their rows, their bytes, how both come and go."""
