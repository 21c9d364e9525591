"""Expression and vendor → plan."""
