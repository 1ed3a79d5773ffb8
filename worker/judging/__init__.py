"""The verifiers at work on tasks: every claim a task's answers give rise to, judged. One module per verifier."""
