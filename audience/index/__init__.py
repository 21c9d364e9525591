"""Device tables → bitmaps → counts and crowds."""
