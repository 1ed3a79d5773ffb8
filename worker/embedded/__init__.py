"""Real Postgres and real Valkey as private children of one process; start reading at ``services``."""
