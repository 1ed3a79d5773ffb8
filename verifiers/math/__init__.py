"""Whether two answers are the same; the only door to SymPy."""
