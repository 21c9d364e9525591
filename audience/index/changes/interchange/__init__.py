"""Folders of bitmaps, which other programs read and write."""
