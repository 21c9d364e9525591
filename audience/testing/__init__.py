"""Tools for tests: generated devices, a slow oracle, a registration of vendors."""
