"""The method: chains, clusters, sets and decisions as plain functions; start at ``merge``."""
