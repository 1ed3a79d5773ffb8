"""Hashes over the record: Merkle trees, rows as leaves, the headers of seals; no I/O."""
