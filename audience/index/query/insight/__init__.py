"""Insight into audiences: what distinguishes the devices of one, and which devices several of them share."""
