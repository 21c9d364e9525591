"""Measurements, each module a question."""
