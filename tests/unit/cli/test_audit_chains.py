"""Chains as `audit show` prints them."""

from __future__ import annotations

import json

from cli.audit import chain_json
from worker.store.chains import Explanation, StoredChain


def test_a_chain_is_shown_with_each_explanation_and_what_weighed_it() -> None:
    chain = StoredChain(
        index=0,
        text='{"explanations": ["Flu"]}',
        answer="Flu",
        logprob=-3.0,
        n_tokens=6,
        finish_reason="stop",
        model="m",
        revision="r",
        seed=0,
        temperature=0.3,
        prompt_variant="system",
        engine="llamacpp",
        latency_s=0.1,
        explanations=(Explanation(answer="Flu", logprob=-1.0, n_tokens=2, by="score"),),
    )
    shown = json.loads(json.dumps(chain_json(chain)))
    assert shown["explanations"] == [{"answer": "Flu", "logprob": -1.0, "n_tokens": 2, "by": "score"}]
    assert "part" not in shown
