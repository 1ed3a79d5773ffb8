"""Commands; start at ``main``."""
