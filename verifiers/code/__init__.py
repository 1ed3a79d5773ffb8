"""Whether a program passes its tests; start at ``verifier``."""
