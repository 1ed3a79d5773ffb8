"""Entailment: does a premise support or contradict a hypothesis? Start at ``verifier``; ``nli`` runs the model.

Torch and transformers live in ``network`` alone, and only the child process (``child``) imports that.
"""
