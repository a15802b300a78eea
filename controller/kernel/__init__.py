"""What all nouns are built on: calls, the database, ids, filters, tasks. It knows no noun."""
