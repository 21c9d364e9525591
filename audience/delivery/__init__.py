"""Requests → network: a ledger that records every call, and workers that can die at any moment."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
