"""Tools for tests: generated devices, a slow oracle, registration of vendors, a fake vendor with a server."""
