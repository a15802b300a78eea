"""Who may call: accounts, keys, permissions; what an account may have and shares."""
