"""Push audiences: one expression, resolved with bitmaps, translated exactly for every vendor."""

from lazy_loader import attach_stub

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
