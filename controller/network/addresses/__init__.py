"""Public addresses: elastic ones, and which private address has them."""
