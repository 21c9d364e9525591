"""Builds whose shards several processes write, here or on other machines."""
