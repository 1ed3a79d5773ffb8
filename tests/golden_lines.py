"""The tasks of the golden ledger: drawn at random, edge cases, verified, sampled and labelled ones."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from worker.engines.replay import RecordedChain

RECORDING = Path(__file__).parent / "data" / "golden" / "chains.jsonl.gz"

FLU = "Influenza starts suddenly. Fever is common in influenza. A rash is not common in influenza."


RIGHT = "def double(x):\n    return 2 * x"


SAME = "def double(x):\n    return x + x"


WRONG = "def double(x):\n    return x * x"


BROKEN = "def double(x):\n    while True: pass"


TESTS = "assert double(3) == 6\nassert double(0) == 0"


def drawn_lines(n: int, *, seed: int) -> Iterator[dict[str, Any]]:
    """Yield tasks drawn at random: every rule and both modes, with and without logprobs."""
    rng = random.Random(seed)
    for i in range(n):
        weighed = rng.random() < 0.7
        chains = [
            {
                "text": "",
                "answer": rng.choice(["flu", "Flu.", "cold", "the cold", "angina", "measles", None]),
                "model": rng.choice(["one", "other"]),
                **({"logprob": -rng.randint(1, 400) / 8, "n_tokens": rng.randint(1, 64)} if weighed else {}),
            }
            for _ in range(rng.randint(1, 10))
        ]
        options: dict[str, Any] = {
            "set_rule": rng.choice([None, "threshold", "top_k", "coverage", "score"]),
            "set_k": rng.choice([None, 2]),
            "linkage": rng.choice(["single", "complete", "guarded"]),
        }
        if rng.random() < 0.5:
            options |= {"lambda": rng.choice([0.0, 0.2, 0.5]), "tau_conf": rng.choice([0.0, 0.25, 0.6])}
            options |= {"tau_margin": rng.choice([0.0, 0.3, 0.6]), "tau_score": rng.choice([0.1, 0.6])}
        yield {
            "custom_id": f"drawn-{seed}-{i}",
            "kind": rng.choice(["qa", "diagnosis", "text"]),
            "mode": rng.choice(["merge", "merge", "spread"]),
            "chains": chains,
            "options": options,
        }


def edge_lines() -> Iterator[dict[str, Any]]:
    """Yield tasks whose numbers meet their thresholds exactly."""
    halves = [{"text": "", "answer": answer} for answer in ("flu", "flu", "cold", "angina")]
    sure = [{**chain, "logprob": 0.0, "n_tokens": 3} for chain in halves]
    for name, edge in (
        ("lambda", {"lambda": 0.5}),
        ("lambda of the rest", {"lambda": 0.25}),
        ("tau_margin", {"tau_margin": 0.5}),
        ("tau_conf", {"tau_conf": 0.5}),
        ("alpha", {"set_rule": "coverage", "set_alpha": 0.75}),
        ("tau_score", {"set_rule": "score", "tau_score": 1.0}),
        ("tau_conf of a score", {"tau_conf": 1.0}),
        ("set_k", {"set_rule": "top_k", "set_k": 2}),
    ):
        for mode in ("merge", "spread"):
            for chains in (halves, sure):
                yield {
                    "custom_id": f"edge-{name}-{mode}-{chains is sure}",
                    "kind": "qa",
                    "mode": mode,
                    "chains": chains,
                    "options": {"tau_margin": 0.0, "tau_conf": 0.0, **edge},
                }


def verified_lines() -> Iterator[dict[str, Any]]:
    """Yield tasks with each verifier, each equivalence, and several at once."""
    code = {"verifier": "code", "tests": TESTS, "entry_point": "double", "timeout_s": 0.5}
    programs = [RIGHT, SAME, SAME, WRONG, BROKEN, "no program"]
    for i, options in enumerate(
        [{}, {"equivalence": "exact"}, {"min_confirmations": 2}, {"require_heterogeneous": True}]
    ):
        yield {
            "custom_id": f"code-{i}",
            "kind": "code",
            "candidates": programs,
            "verify": [code],
            "options": options,
        }
    yield {"custom_id": "code-refuted", "kind": "code", "candidates": [WRONG, WRONG], "verify": [code]}
    yield {"custom_id": "code-twice", "kind": "code", "candidates": programs, "verify": [code, code]}
    yield {
        "custom_id": "code-spread",
        "kind": "code",
        "mode": "spread",
        "candidates": programs,
        "verify": [code],
    }
    halves = ["1/2", "0.5", "50%", "2", r"\frac{1}{3}", "??"]
    reference = {"verifier": "math", "reference": "0.5"}
    condition = {"verifier": "math", "conditions": ["2x = 1"], "unknowns": ["x"]}
    for i, (verifications, options) in enumerate(
        [
            ([], {}),
            ([reference], {"min_confirmations": 1}),
            ([condition], {}),
            ([{"verifier": "math", "reference": "7"}], {}),
            ([reference, condition], {"min_confirmations": 2, "require_heterogeneous": True}),
            ([{"verifier": "math", "steps": True}], {"linkage": "guarded"}),
            ([reference, {"verifier": "entailment", "premise": "It is 2."}], {"require_heterogeneous": True}),
        ]
    ):
        for mode in ("merge", "spread"):
            yield {
                "custom_id": f"math-{mode}-{i}",
                "kind": "math",
                "mode": mode,
                "chains": [{"text": f"1 + 1 = 2, so {half}.", "answer": half} for half in halves],
                "verify": verifications,
                "options": options,
            }
    said = [
        "Fever is common in influenza.",
        "A rash is common in influenza.",
        "Fever is not common in influenza.",
    ]
    facts = {"verifier": "facts", "documents": [{"id": "flu", "text": FLU}]}
    entailment = {"verifier": "entailment", "premise": FLU}
    for i, verifications in enumerate(
        [[facts], [entailment], [facts, entailment], [{"verifier": "facts", "collection": "handbook"}]]
    ):
        yield {
            "custom_id": f"text-{i}",
            "kind": "text",
            "candidates": [*said, said[0]],
            "verify": verifications,
            "options": {"min_confirmations": i % 2},
        }
    for equivalence in ("entailment", "embedding"):
        for linkage in ("single", "complete", "guarded"):
            yield {
                "custom_id": f"{equivalence}-{linkage}",
                "kind": "text",
                "candidates": [*said, "In influenza fever is common.", "With influenza, fever often comes."],
                "options": {"equivalence": equivalence, "linkage": linkage},
            }
    hostile = ["[red]x[/] \u202e", "=1+1", "9**9**9**9", "{" * 200, "", " "]
    yield {"custom_id": "hostile", "kind": "qa", "candidates": hostile}
    yield {"custom_id": "silent", "kind": "qa", "chains": [{"text": "", "answer": None}] * 3}


def sampled_lines() -> tuple[list[dict[str, Any]], dict[str, list[RecordedChain]]]:
    """Return tasks that are sampled, and what the model says: real chains where we have them."""
    sums = {f"What is {i} + {i}?": f"It is {2 * i}." for i in (1, 2)}  # all chains agree: an early exit
    said = {prompt: [RecordedChain(text=text, logprob=-2.0, n_tokens=4)] * 8 for prompt, text in sums.items()}
    lines = [
        {
            "custom_id": f"sum-{policy}-{i}",
            "kind": "math",
            "prompt": prompt,
            "options": {"early_exit": policy},
        }
        for i, prompt in enumerate(sums)
        for policy in ("paper", "lossless", "adaptive")
    ]
    for raw in gzip.decompress(RECORDING.read_bytes()).decode().splitlines():
        row = json.loads(raw)
        task = row["task"]
        prompt = task["prompt"]
        said[prompt] = [
            RecordedChain(text=chain["text"][-400:], logprob=chain["logprob"], n_tokens=chain["n_tokens"])
            for chain in row["chains"]
        ]
        if task["kind"] != "math":
            continue
        lines += [
            {
                "custom_id": f"{task['custom_id']}-{policy}",
                "kind": "math",
                "prompt": prompt,
                "mode": "spread" if policy == "none" else "merge",
                "options": {"early_exit": policy},
            }
            for policy in ("none", "paper", "lossless", "adaptive")
        ]
        lines.append(
            {
                "custom_id": f"{task['custom_id']}-pool",
                "kind": "math",
                "prompt": prompt,
                "options": {"models": ["default", "big"], "early_exit": "none"},
            }
        )
    return lines, said


def labelled_lines(n: int, *, seed: int) -> Iterator[dict[str, Any]]:
    """Yield tasks of three models of different worth, with their truth: a night learns weights from them."""
    rng = random.Random(seed)
    for i in range(n):
        truth = rng.choice(["yes", "no"])
        other = "no" if truth == "yes" else "yes"
        chains = [
            {"text": "", "answer": truth if rng.random() < skill else other, "model": model}
            for model, skill in (("poor", 0.55), ("fair", 0.7), ("good", 0.9))
            for _ in range(rng.randint(1, 2))
        ]
        yield {
            "custom_id": f"pool-{seed}-{i}",
            "kind": "qa",
            "domain": "pool",
            "chains": chains,
            "label": truth,
        }
