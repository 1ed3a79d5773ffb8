"""Sentence models: texts to vectors whose cosine says how alike they are; start at ``protocol``."""
