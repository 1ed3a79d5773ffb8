"""Commands about models of natural language inference: fetching one, training a small one, calibrating either."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from cli.console import JsonFlag, err, fail, out, print_json, told
from cli.models import LINE_EVERY_S, told_progress
from verifiers.entailment.calibration import Calibration
from verifiers.entailment.checkpoint import missing_libraries
from verifiers.entailment.fitting import TARGET_PRECISION
from verifiers.entailment.making import N_EPOCHS, Report, calibrate, make_model
from verifiers.entailment.rows import Row, RowError, read_rows
from worker.models.encoder import encoder_folder
from worker.models.nli import DEFAULT_NLI, find_nli, nli_folder, pull_nli
from worker.settings import Settings

Rows = Annotated[
    Path,
    typer.Argument(
        help="JSON lines of {premise, hypothesis, label}, gzipped or not; e.g. tests/data/mnli/rows.jsonl.gz."
    ),
]

Precision = Annotated[
    float, typer.Option("--precision", min=0.5, max=0.999, help="What share of its verdicts should be right.")
]


def pull_nli_command(
    name: Annotated[str, typer.Argument(help="The model hub's name of it, owner/model.")],
    as_json: JsonFlag = False,
) -> None:
    """Fetch a model of natural language inference, e.g. a DeBERTa-v3 trained on MNLI, as safetensors.

    Set MERGEREASONER_NLI_MODEL to its name afterwards.

    Example:

        merge-reasoner models pull-nli MoritzLaurer/DeBERTa-v3-base-mnli-fever-anli
    """
    told_at = [time.monotonic()]

    def watcher(n_bytes: int) -> None:
        if time.monotonic() - told_at[0] >= LINE_EVERY_S:
            told_at[0] = time.monotonic()
            err.print(f"· fetching {name}: {n_bytes / 1e6:.0f} MB")

    if name.count("/") != 1:
        raise fail(f"{name!r} is no hub name; one looks like owner/model")
    with told():
        checkpoint = pull_nli(name, _models_dir(), watcher=watcher)
    if as_json:
        print_json({"name": name, "path": str(checkpoint.folder), "revision": checkpoint.revision})
    else:
        out.print(f"{checkpoint.folder}", soft_wrap=True)


def train_nli(
    rows: Rows,
    name: Annotated[str, typer.Option("--name", help="What it will be called.")] = DEFAULT_NLI,
    n_epochs: Annotated[
        int, typer.Option("--epochs", min=1, max=50, help="Passes over the rows.")
    ] = N_EPOCHS,
    precision: Precision = TARGET_PRECISION,
    force: Annotated[bool, typer.Option("--force", help="Train it again if it is there.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Train a small model from all-MiniLM-L6-v2 on the CPU and calibrate it; nothing to do when it is there.

    70 % of the rows are trained on, 15 % are calibrated on, 15 % are left for the benchmark.

    Example:

        merge-reasoner models train-nli tests/data/mnli/rows.jsonl.gz
    """
    models_dir = _models_dir()
    folder = models_dir / "nli" / name
    if folder.is_dir() and not force:
        with told():
            found = find_nli(name, models_dir)
            _tell(name, folder, found.calibration, as_json=as_json)
        return
    some = _read(rows)
    why = missing_libraries()
    if why is not None:  # before 91 MB are fetched
        raise fail(why)
    with told(), told_progress() as report, encoder_folder(models_dir, progress=report) as base:
        try:
            made = make_model(
                base, some, folder, source=rows.name, report=_reporter(), n_epochs=n_epochs, target=precision
            )
        except ValueError as error:
            raise fail(f"{rows}: {error}") from error
        _tell(name, folder, made, as_json=as_json)


def calibrate_nli(
    rows: Rows,
    model: Annotated[
        str | None,
        typer.Option("--model", help="A pulled model's name or a folder; else MERGEREASONER_NLI_MODEL."),
    ] = None,
    precision: Precision = TARGET_PRECISION,
    as_json: JsonFlag = False,
) -> None:
    """Choose a model's thresholds from labelled rows of yours, none of which it may have been trained on.

    The rows of the calibration and training parts are used; the test part (15 %, by the premise) is left for the
    benchmark. The thresholds are stored beside the weights.

    Example:

        merge-reasoner models calibrate-nli rows.jsonl --model MoritzLaurer/DeBERTa-v3-base-mnli-fever-anli
    """
    settings = Settings.from_env(os.environ)
    name = model or settings.nli_model
    parts = {"calibration"} if name == DEFAULT_NLI else {"calibration", "train"}
    some = [row for row in _read(rows) if row.part in parts]
    with told():
        checkpoint = find_nli(name, settings.models_dir)
        try:
            made = calibrate(checkpoint, some, source=rows.name, report=_reporter(), target=precision)
        except ValueError as error:
            raise fail(f"{rows}: {error}") from error
        _tell(name, nli_folder(name, settings.models_dir), made, as_json=as_json)


def _read(rows: Path) -> list[Row]:
    try:
        return read_rows(rows)
    except RowError as error:
        raise fail(str(error)) from error
    except OSError as error:
        raise fail(f"cannot read {rows}: {error.strerror or error}") from error


def _reporter() -> Report:
    """Return what tells on standard error, now and then, how far a step is."""
    told_at: dict[str, float] = {}

    def report(step: str, done: int, of: int) -> None:
        now = time.monotonic()
        if now - told_at.get(step, float("-inf")) >= LINE_EVERY_S:
            told_at[step] = now
            err.print(f"· {step}: {done} of {of}")

    return report


def _tell(name: str, folder: Path, calibration: Calibration, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "name": name,
                "path": str(folder),
                "confirm": calibration.confirm,
                "refute": calibration.refute,
                "apart": calibration.apart,
                "temperature": calibration.temperature,
                "n_rows": calibration.n_rows,
            }
        )
        return
    out.print(
        f"{folder}\nconfirmed from P(entailment) {calibration.confirm:.3f}, refuted from P(contradiction) "
        f"{calibration.refute:.3f}, chosen on {calibration.n_rows} rows",
        soft_wrap=True,
    )


def _models_dir() -> Path:
    return Settings.from_env(os.environ).models_dir
