"""Processes: engines, stages, the store and the embedded services; start at ``app``."""
