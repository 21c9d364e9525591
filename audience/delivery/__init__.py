"""Delivery of a request folder: a ledger that records every call, and workers that may die at any time."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
