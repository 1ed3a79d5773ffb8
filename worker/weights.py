"""The file of model weights: what `pool report -o` writes and `merge --weights` reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from reasoner.fitted import FittedMerge
from worker.errors import WeightsError
from worker.submission.lines import Line
from worker.submission.problems import explain

MAX_MODELS = 100

Positive = Annotated[float, Field(gt=0, le=1e6)]
Nats = Annotated[float, Field(ge=-1e3, le=1e3)]


class PairWeight(Line):
    """What two models that agree are worth beyond the sum of the two."""

    models: Annotated[list[str], Field(min_length=2, max_length=2)]
    weight: Nats


class Fitted(Line):
    """A fitted merge (``reasoner.fitted``), in nats."""

    weights: Annotated[dict[str, Nats], Field(min_length=1, max_length=MAX_MODELS)]
    pairs: list[PairWeight]
    none: Nats
    """Utility of "none of the answers is right"."""


class WeightsFile(Line):
    """The file's content."""

    format: Literal["merge-reasoner.weights/1"] = "merge-reasoner.weights/1"
    use: Literal["fitted", "model_weights"]
    """Which of the two below decides."""

    fitted: Fitted | None = None
    model_weights: Annotated[dict[str, Positive], Field(min_length=1, max_length=MAX_MODELS)] | None = None
    """What exp(l_i) of each model's chains is multiplied by; a model that is not named weighs 1."""

    n_labelled: int = 0
    """Labelled tasks both were learned from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolWeights:
    """What decides among several models: a fit (in MERGE), else a factor per model, else neither."""

    fitted: FittedMerge | None = None
    model_weights: Mapping[str, float] | None = None


EQUAL = PoolWeights()


def weights_json(
    *, fitted: FittedMerge, model_weights: Mapping[str, float] | None, n_labelled: int
) -> dict[str, Any]:
    """Return both ways of weighing as JSON values; the fit is the one in use."""
    content = WeightsFile(
        use="fitted",
        fitted=Fitted(
            weights=dict(fitted.weights),
            pairs=[PairWeight(models=list(pair), weight=weight) for pair, weight in fitted.pairs.items()],
            none=fitted.none,
        ),
        model_weights=None if model_weights is None else dict(model_weights),
        n_labelled=n_labelled,
    )
    return content.model_dump()


def weights_from_json(value: Mapping[str, Any]) -> PoolWeights:
    """Return what the JSON values of ``weights_json`` say is to be used; an empty mapping is equal weights.

    Raises:
        WeightsError: They lack what they say is in use, or are malformed.
    """
    if not value:
        return EQUAL
    return _in_use("the calibration's weights", json.dumps(value).encode())


def write_weights(
    path: Path, *, fitted: FittedMerge, model_weights: Mapping[str, float], n_labelled: int
) -> None:
    """Write both ways of weighing; the fit is the one in use.

    Raises:
        WeightsError: The file cannot be written.
    """
    content = weights_json(fitted=fitted, model_weights=model_weights, n_labelled=n_labelled)
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise WeightsError(f"cannot write {path}: {error.strerror}") from error


def read_weights(path: Path) -> PoolWeights:
    """Return what the file says is to be used.

    Raises:
        WeightsError: It cannot be read, is malformed, or lacks what it says is in use.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}") from error
    return _in_use(str(path), content)


def _in_use(path: str, raw: bytes) -> PoolWeights:
    try:
        content = WeightsFile.model_validate_json(raw)
    except ValidationError as error:
        field, _, problem, fix = explain(error, WeightsFile)
        raise WeightsError(f"{path}: {field}: {problem}. Fix: {fix}") from error
    if content.use == "model_weights":
        if content.model_weights is None:
            raise WeightsError(f'{path}: "use" names model_weights, which are missing')
        return PoolWeights(model_weights=content.model_weights)
    if content.fitted is None:
        raise WeightsError(f'{path}: "use" names fitted, which is missing')
    return PoolWeights(fitted=_fitted(path, content.fitted), model_weights=content.model_weights)


def _fitted(path: str, found: Fitted) -> FittedMerge:
    pairs: dict[tuple[str, str], float] = {}
    for one in found.pairs:
        first, second = sorted(one.models)
        if first == second or not {first, second} <= found.weights.keys() or (first, second) in pairs:
            raise WeightsError(
                f"{path}: fitted.pairs: {first}, {second} is no pair of its models, or is there twice"
            )
        pairs[first, second] = one.weight
    return FittedMerge(
        models=tuple(sorted(found.weights)), weights=found.weights, pairs=pairs, none=found.none
    )
