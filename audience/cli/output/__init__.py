"""Print results as text or JSON."""
