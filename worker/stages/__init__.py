"""The steps of a task's life, each a translator: claim rows, call a function, write, publish."""
