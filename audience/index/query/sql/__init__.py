"""Expressions as WHERE clauses of SQL over the table that an index was built from."""
