"""From a file somebody wrote to validated tasks, with an error for every bad line; start at ``lines``."""
