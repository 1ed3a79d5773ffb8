"""The ``facts`` verifier: do the reference documents support a statement? Start at ``verifier``."""
