"""Decisions of a node: pure, without clock, socket or random."""
