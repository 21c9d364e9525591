"""Rewrite, compare and split expressions."""
