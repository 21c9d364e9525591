"""Text files of tables: their encoding, delimiter and lines."""
