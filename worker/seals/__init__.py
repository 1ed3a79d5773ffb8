"""Tamper evidence: seals over the record, their verification, proofs, and redaction that leaves them whole."""
