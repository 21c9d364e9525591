"""Expression → expression."""
