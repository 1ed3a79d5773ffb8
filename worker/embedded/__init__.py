"""Postgres and Valkey as private child processes, for machines that run no service."""
