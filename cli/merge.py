"""`merge`: decisions from recorded chains, without any service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.console import fail, told
from cli.lines import File, answer_each, opened
from reasoner.decisions import Thresholds
from reasoner.early_exit import Policy
from worker.judging.protocol import Surroundings
from worker.judging.table import Judges
from worker.merging import MergeLine, Merger
from worker.settings import settings
from worker.weights import EQUAL, read_weights

THRESHOLDS = {name.removesuffix("_"): name for name in Thresholds.__dataclass_fields__}


Given = Annotated[
    str | None,
    typer.Option(
        "--thresholds",
        help="For tasks that name none, e.g. lambda=0.3,tau_margin=0.1,tau_conf=0.3,tau_score=0.5.",
        metavar="NAME=SHARE,...",
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights", help="What `pool report -o` wrote: merges several models by what was learned of them."
    ),
]
Exiting = Annotated[
    Policy | None,
    typer.Option("--early-exit", help="Report how many chains this policy would have used, and its answer."),
]


def merge(file: File, thresholds: Given = None, weights: Weights = None, early_exit: Exiting = None) -> None:
    """Decide each line of recorded chains; one JSON decision per line, in input order.

    A line is {"custom_id", "kind", "mode", "chains": [{"text", "answer"?, "logprob"?, "n_tokens"?, "model"?}],
    "options"?, "label"?}. What a decision line holds stands in docs/decision-lines.md.

    Example:

        merge-reasoner merge chains.jsonl > decisions.jsonl
        merge-reasoner merge chains.jsonl --weights weights.json --thresholds tau_conf=0.5
        merge-reasoner merge chains.jsonl --early-exit lossless
    """
    with told(), opened(file) as stream, Judges(Surroundings(settings=settings())) as judges:
        merger = Merger(
            judges,
            thresholds_from(thresholds),
            weights=EQUAL if weights is None else read_weights(weights),
            early_exit=early_exit,
        )
        code = answer_each(stream, MergeLine, file, merger.decide_many, id_field="custom_id")
    raise typer.Exit(code)


def thresholds_from(text: str | None) -> Thresholds:
    """Return the default thresholds with those that ``text`` names in their place."""
    given: dict[str, float] = {}
    for part in (text or "").split(",") if text else ():
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if name not in THRESHOLDS or not equals:
            raise fail(
                f"--thresholds: {part.strip()!r} is not NAME=SHARE; the names are {', '.join(THRESHOLDS)}"
            )
        try:
            given[THRESHOLDS[name]] = float(value)
        except ValueError:
            raise fail(f"--thresholds: {name} must be a number in [0, 1], not {value!r}") from None
    return Thresholds(**given)
