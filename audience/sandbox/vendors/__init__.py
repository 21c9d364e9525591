"""Endpoints of each vendor: what it accepts, and how it replies."""
