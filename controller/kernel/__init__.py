"""What every noun stands on, and that knows none: calls, the database, ids, filters, tasks."""
