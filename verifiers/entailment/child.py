"""The process that holds the model, so that it can be killed: pairs come in, scores go out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from verifiers.entailment.network.loading import load
from verifiers.entailment.network.scoring import Scorer, UnreadableError
from verifiers.entailment.serving import Answer, serve
from verifiers.nli import NliScores


def main() -> None:
    """Serve; arguments: folder, labels separated by commas, temperature."""
    folder, labels, temperature = sys.argv[1:]

    def start() -> tuple[dict[str, Any], Answer]:
        loaded = load(Path(folder))
        scorer = Scorer(loaded, labels.split(","), temperature=float(temperature))

        def answer(request: dict[str, Any]) -> dict[str, Any]:
            found = scorer.score(
                [(str(premise), str(hypothesis)) for premise, hypothesis in request["pairs"]]
            )
            return {"scores": [_plain(one) for one in found]}

        return {"device": loaded.device}, answer

    serve(start)


def _plain(one: NliScores | UnreadableError) -> dict[str, Any]:
    if isinstance(one, UnreadableError):
        return {"unread": str(one)}
    # What is beyond some five digits depends on which pairs share a batch.
    return {
        "entailment": round(one.entailment, 6),
        "neutral": round(one.neutral, 6),
        "contradiction": round(one.contradiction, 6),
        "n_windows": one.n_windows,
    }


if __name__ == "__main__":
    main()
