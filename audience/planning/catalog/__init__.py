"""Catalogs of attributes: load, check, draft, and translate tags to vendor names."""
