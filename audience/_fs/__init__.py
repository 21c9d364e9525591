"""Atomic files and folders, locks and checksums."""
