"""Sources of tables: where their rows are, and how they come to this machine."""
