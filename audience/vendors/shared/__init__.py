"""Targeting that several vendors share: lists of tags, conditions of topics."""
