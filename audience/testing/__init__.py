"""Tools for tests: generated devices, a slow oracle, a fake vendor with a server."""
