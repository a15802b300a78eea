"""The database: every table on one page (schema), transactions (session), EC2's filters and pages
as SQL (filters)."""
