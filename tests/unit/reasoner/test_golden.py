"""Decisions made once must be made again: a change of the method that changes old decisions fails here.

When the change is wanted, raise the method's version where decisions store it, and write the file anew with
``WRITE_GOLDEN=1 pytest tests/unit/reasoner/test_golden.py``.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from reasoner.chains import Chain
from reasoner.decisions import Judgement, Linkage, Rules, SetRule, Thresholds
from reasoner.merge import forward_merge
from reasoner.normal_forms import normal_number
from reasoner.outcomes import Outcome
from reasoner.spread import backward_spread

GOLDEN = Path(__file__).parents[2] / "data" / "method" / "golden_decisions.jsonl"

ANSWERS = ["18", "18.0", "$18", "20", "26", None]
SET_RULES: list[SetRule | None] = [None, "threshold", "top_k", "coverage", "score"]
LINKAGES: list[Linkage] = ["single", "complete", "guarded"]


def close(left: str, right: str) -> bool | None:
    return {("18", "20"): True, ("20", "26"): None}.get((left, right), False)


def decided(number: int) -> dict[str, Any]:
    """One decision of a task made up from its number alone."""
    rng = random.Random(number)
    with_logprobs = rng.random() < 0.7
    chains = [
        Chain(
            index=i,
            answer=rng.choice(ANSWERS),
            logprob=-rng.randint(1, 400) / 8 if with_logprobs else None,
            n_tokens=rng.randint(1, 64),
            model=rng.choice(["one", "other"]),
        )
        for i in range(rng.randint(0, 9))
    ]
    judgements = [
        Judgement(
            answer=answer,
            verifier=rng.choice(["math", "code/0", "code/1"]),
            outcome=rng.choice(list(Outcome)),
        )
        for answer in ("18", "20", "26")
        if rng.random() < 0.3
    ]
    rules = Rules(
        set_rule=rng.choice(SET_RULES),
        set_k=rng.choice([None, 2]),
        linkage=rng.choice(LINKAGES),
        min_confirmations=rng.choice([0, 0, 1]),
    )
    return rng.choice([forward_merge, backward_spread])(
        chains,
        judgements,
        thresholds=Thresholds(lambda_=0.2, tau_conf=0.25),
        rules=rules,
        same=close,
        normalise=normal_number,
        model_weights=rng.choice([None, {"one": 2.0}]),
    ).to_json()


def approximately(value: Any) -> Any:
    """Numbers to twelve digits: the C library's exp and log may differ in the last bit between machines."""
    if isinstance(value, dict):
        return {key: approximately(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [approximately(inner) for inner in value]
    return pytest.approx(value, rel=1e-12, abs=1e-12) if isinstance(value, float) else value


def test_old_decisions_are_made_again() -> None:
    if os.environ.get("WRITE_GOLDEN"):
        lines = [json.dumps(decided(number), sort_keys=True) for number in range(40)]
        GOLDEN.write_text("\n".join(lines) + "\n", encoding="utf-8")
    golden = [json.loads(line) for line in GOLDEN.read_text(encoding="utf-8").splitlines()]
    assert len(golden) == 40
    for number, expected in enumerate(golden):
        assert decided(number) == approximately(expected), f"task {number}"
