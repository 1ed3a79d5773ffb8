"""Independent judges of claims; start at ``verdicts``."""
