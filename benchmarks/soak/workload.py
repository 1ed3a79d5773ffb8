"""The tasks of a soak: many cheap ones of several kinds, a recording that answers them, and a few that kill."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

K = 4
POISON = "poison"
"""A prompt that begins so kills the process that samples it (see ``benchmarks.soak.worker``)."""

TENANTS = ("red", "green", "blue")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Task lines in slices, each a file that one tenant submits, and the recording that all of them share."""

    slices: list[tuple[str, Path]]
    """(tenant, file)."""

    recording: Path
    n_tasks: int
    n_poison: int


def write_workload(folder: Path, *, n_tasks: int, n_slices: int, n_poison: int, seed: int) -> Workload:
    """Write ``n_tasks`` tasks in ``n_slices`` files; ``n_poison`` of them kill their worker."""
    chance = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    poisoned = set(chance.sample(range(n_tasks), n_poison))
    recording, slices = folder / "recording.jsonl", []
    with recording.open("w", encoding="utf-8") as recorded:
        for number in range(n_slices):
            file = folder / f"slice-{number:03}.jsonl"
            with file.open("w", encoding="utf-8") as stream:
                for i in range(number, n_tasks, n_slices):
                    line, chains = _task(i, chance, is_poison=i in poisoned)
                    stream.write(json.dumps(line) + "\n")
                    if chains:
                        recorded.write(json.dumps({"prompt": line["prompt"], "chains": chains}) + "\n")
            slices.append((TENANTS[number % len(TENANTS)], file))
    return Workload(slices=slices, recording=recording, n_tasks=n_tasks, n_poison=n_poison)


def _task(i: int, chance: random.Random, *, is_poison: bool) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    line: dict[str, Any] = {"custom_id": f"t{i}", "kind": "math"}
    options = {"k": K, "early_exit": chance.choice(["none", "lossless"]), "equivalence": "exact"}
    options["priority"] = chance.randrange(10)
    answers = [str(i % 7 + chance.choice([0, 0, 0, 1])) for _ in range(K)]
    if chance.random() < 0.25:
        line["verify"] = [{"verifier": "math", "reference": str(i % 7)}]
    if chance.random() < 0.1:
        options["equivalence"] = "symbolic"
    if chance.random() < 0.03:  # needs SymPy, and so a child that can be killed
        answers = [f"(x+1)^2+{answer}" for answer in answers]
        line["verify"] = [{"verifier": "math", "reference": f"x^2+2x+1+{i % 7}"}]
    line["options"] = options
    if is_poison:
        return line | {"prompt": f"{POISON} {i}"}, [_chain("0", -1.0)] * K
    logprobs = [-round(chance.uniform(0.5, 6.0), 3) for _ in answers]
    chains = [_chain(answer, logprob) for answer, logprob in zip(answers, logprobs, strict=True)]
    if chance.random() < 0.2:
        return line | {"chains": chains}, []
    return line | {"prompt": f"number {i}"}, chains


def _chain(answer: str, logprob: float) -> dict[str, Any]:
    return {"text": rf"so \boxed{{{answer}}}", "logprob": logprob, "n_tokens": 5}
