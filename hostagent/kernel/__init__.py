"""The agent's kernel: ledger, sync, work queue. It knows no kind of resource: kinds register."""
