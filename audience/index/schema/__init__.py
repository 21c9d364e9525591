"""Columns of a device table and the types of their values."""
