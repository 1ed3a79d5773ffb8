"""Real tasks with their own tests: right programs and slightly wrong ones, and how a sandbox judges them."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from verifiers.claims import ProgramClaim
from verifiers.code.mutants import mutants
from verifiers.code.verifier import CodeVerifier
from verifiers.sandbox.protocol import Sandbox

CPU_S = 10.0
_MUTANT_CPU_S = 2.0  # one that loops needs no more


def claims(file: Path) -> list[ProgramClaim]:
    """Return the reference solutions of a file of HumanEval's or of MBPP's form, with their tests."""
    found = []
    for row in map(json.loads, file.read_text().splitlines()):
        if "canonical_solution" in row:
            program, tests = row["prompt"] + row["canonical_solution"], row["test"]
        else:
            program = row["code"]
            tests = "\n".join([row.get("test_setup_code", ""), *row["test_list"]])
        found.append(ProgramClaim(program=program, tests=tests, entry_point=row.get("entry_point")))
    return found


def judge(references: Sequence[ProgramClaim], sandbox: Sandbox, n_at_once: int) -> dict[str, Any]:
    """Judge the references, and of each the first mutant of every kind; return outcomes and rates."""
    verifier = CodeVerifier(sandbox, parallel=n_at_once)
    began = time.monotonic()
    verdicts = verifier.verify_many(references, timeout_s=CPU_S)
    took_s = time.monotonic() - began
    times = sorted(1000 * verdict.elapsed_s for verdict in verdicts)
    wrong: dict[str, list[ProgramClaim]] = {}
    for reference in references:
        first = {mutant.kind: mutant for mutant in reversed(mutants(reference.program))}
        for kind, mutant in first.items():
            wrong.setdefault(kind, []).append(replace(reference, program=mutant.program))
    return {
        "references": dict(Counter(verdict.outcome.value for verdict in verdicts)),
        "per_s": round(len(references) / took_s, 1),
        "p50_ms": round(times[len(times) // 2], 1),
        "p99_ms": round(times[int(0.99 * len(times))], 1),
        "mutants": {
            kind: dict(Counter(v.outcome.value for v in verifier.verify_many(some, timeout_s=_MUTANT_CPU_S)))
            for kind, some in wrong.items()
        },
    }
