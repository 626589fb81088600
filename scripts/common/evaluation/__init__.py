"""Draws of in-context examples, scoring, sample responses and the cache of answers."""
