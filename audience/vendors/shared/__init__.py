"""Targeting that several vendors share: tag lists and topic conditions."""
