"""Where programs nobody trusts are run; the only door to bubblewrap."""
