"""Weights on this machine: which ones we know, where they are, how they come here; start at ``shelf``."""
