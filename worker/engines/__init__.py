"""Engines that sample chains; the only door to llama.cpp and to HTTP endpoints."""
