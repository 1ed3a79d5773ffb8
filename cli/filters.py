"""The options that say which decisions are meant: typed, kept under a name, and turned into filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any

import typer

from cli.batches import find_batch_called
from cli.console import fail
from cli.times import is_day, past_time
from worker.store.filters import Filters, Range
from worker.store.transactions import Store

Many = list[str] | None

Since = Annotated[
    str | None,
    typer.Option(help="Decided from then on: a day, ISO 8601, or a span back from now (90m, 3d, 2w)."),
]
Until = Annotated[str | None, typer.Option(help="Decided before then; of a day, until its end. UTC.")]
Kind = Annotated[
    Many, typer.Option(help="math, code, diagnosis, qa or text. All options but times may be repeated.")
]
Domain = Annotated[Many, typer.Option(help="The task's domain.")]
Batch = Annotated[Many, typer.Option(help="A batch id, or `last`.")]
Model = Annotated[Many, typer.Option(help="A model that gave some of its chains.")]
Mode = Annotated[Many, typer.Option(help="merge or spread.")]
State = Annotated[Many, typer.Option(help="answered or abstained.")]
Why = Annotated[Many, typer.Option(help="A reason to abstain, e.g. vote_margin.")]
Answer = Annotated[Many, typer.Option(help="The whole answer; case and blanks around it do not count.")]
Outcome = Annotated[
    Many, typer.Option(help="What verifiers said of the answer: confirmed, refuted, abstained or none.")
]
Verdict = Annotated[
    Many, typer.Option(help="A verdict on any of its answers: code:refuted, or code, or refuted.")
]
Calibration = Annotated[Many, typer.Option(help="The calibration it names.")]
Label = Annotated[
    Many,
    typer.Option(help="What the label says of the answer: right, wrong, unknown, conflicting, any or none."),
]
Margin = Annotated[str | None, typer.Option(help="Range of the vote margin: 0.2..0.5, ..0.3, 0.9.. or 0.5.")]
Degree = Annotated[str | None, typer.Option(help="Range of the merge degree: 4.., say.")]

LISTS = (
    *(
        "kind",
        "domain",
        "mode",
        "batch",
        "calibration",
        "state",
        "why",
        "answer",
        "outcome",
        "verdict",
        "model",
    ),
    "label",
)


def given_options(**options: Any) -> dict[str, Any]:  # noqa: ANN401 (texts and lists of them)
    """Return the options that were given, as they were typed."""
    return {name: value for name, value in options.items() if value}


def filters_of(options: Mapping[str, Any], store: Store, *, tenant: str) -> Filters:
    """Return what the options mean now.

    Raises:
        QueryError: A value is none of those there are.
    """
    until = past_time(options.get("until"), option="--until")
    if until is not None and is_day(options["until"]):
        until += timedelta(days=1)
    lists = {name: _texts(options.get(name)) for name in LISTS}
    lists["batch"] = [
        str(find_batch_called(store, "last", tenant=tenant).id) if name == "last" else name
        for name in lists["batch"]
    ]
    return Filters(
        since=past_time(options.get("since"), option="--since"),
        until=until,
        margin=_range(options.get("margin"), "--margin"),
        degree=_range(options.get("degree"), "--degree"),
        **lists,
    )


def _texts(values: Sequence[str] | None) -> list[str]:
    return list(values or ())


def _range(text: str | None, option: str) -> Range:
    if text is None:
        return Range()
    low, dots, high = text.partition("..")
    try:
        return Range(
            low=float(low) if low.strip() else 0.0,
            **({"high": float(high)} if high.strip() else {} if dots else {"high": float(low)}),
        )
    except ValueError:
        raise fail(f"{option} {text!r} is no range: write 0.2..0.5, ..0.3, 0.9.. or 0.5") from None
