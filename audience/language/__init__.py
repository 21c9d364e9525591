"""Text ⇄ expression."""
