"""Who may call: accounts, access keys, signing keys, the guard of every rpc, and the joining of
hosts."""
