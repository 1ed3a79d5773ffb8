"""What a model is told before the task: one text file a kind, mode and variant; start at ``reading``."""
