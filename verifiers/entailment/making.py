"""A small NLI model from an encoder and labelled pairs: trained, calibrated, and put in its place when it is whole."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from verifiers.children import Child, ChildDiedError
from verifiers.entailment.calibration import FILE_NAME, Calibration, write_calibration
from verifiers.entailment.checkpoint import Checkpoint, missing_libraries, open_checkpoint
from verifiers.entailment.fitting import TARGET_PRECISION, ScoredRow, fit_calibration
from verifiers.entailment.nli import TransformersNli
from verifiers.entailment.rows import Row
from verifiers.entailment.runner import START_S, child_environment
from verifiers.errors import ModelUnavailableError, VerifierError
from verifiers.nli import NliScores

N_EPOCHS = 3
STALL_S = 600.0  # for a few steps
MAX_REPLY_BYTES = 10_000

Report = Callable[[str, int, int], None]
"""Is told what is done, how much of it, and of how much."""


def make_model(
    base: Path,
    rows: Sequence[Row],
    folder: Path,
    *,
    source: str,
    report: Report,
    n_epochs: int = N_EPOCHS,
    target: float = TARGET_PRECISION,
) -> Calibration:
    """Train on the rows' training part, calibrate on their calibration part; the test part is not looked at.

    Args:
        base: Folder of an encoder with its tokenizer.
        rows: Labelled pairs.
        folder: Where the model goes, in place of what is there; appears only when it is whole.
        source: Of the rows, in words, for the calibration.
        report: Told about progress.
        n_epochs: Passes over the training part.
        target: Precision of verdicts to calibrate for.

    Raises:
        ModelUnavailableError: Libraries or the encoder are missing.
        VerifierError: Training or scoring broke.
        ValueError: Too few rows belong to one of the parts.
    """
    why = missing_libraries()
    if why is not None:
        raise ModelUnavailableError(why)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as workshop:
        made = Path(workshop) / folder.name
        _train([row for row in rows if row.part == "train"], base, made, n_epochs=n_epochs, report=report)
        held_out = [row for row in rows if row.part == "calibration"]
        calibration = calibrate(open_checkpoint(made), held_out, source=source, report=report, target=target)
        shutil.rmtree(folder, ignore_errors=True)
        made.replace(folder)
    return calibration


def calibrate(
    checkpoint: Checkpoint,
    rows: Sequence[Row],
    *,
    source: str,
    report: Report,
    target: float = TARGET_PRECISION,
) -> Calibration:
    """Fit temperature and thresholds to rows the model was not trained on, and store them beside its weights.

    Args:
        checkpoint: Of the model.
        rows: Held out.
        source: Of the rows, in words.
        report: Told about progress.
        target: Precision of verdicts.

    Raises:
        VerifierError: The model broke.
        ValueError: Too few rows.
    """
    plain = replace(checkpoint, uses_calibration=False)
    model = TransformersNli(lambda: plain)
    try:
        scored = []
        for begin in range(0, len(rows), 256):
            report("calibrating", begin, len(rows))
            some = rows[begin : begin + 256]
            found = model.score_within([(row.premise, row.hypothesis) for row in some], timeout_s=60.0)
            scored += [ScoredRow(scores=one, label=row.label) for row, one in zip(some, found, strict=True)
                       if isinstance(one, NliScores)]  # fmt: skip
    finally:
        model.close()
    calibration = fit_calibration(scored, revision=checkpoint.revision, source=source, target=target)
    write_calibration(checkpoint.folder / FILE_NAME, calibration)
    return calibration


def _train(rows: Sequence[Row], base: Path, out: Path, *, n_epochs: int, report: Report) -> None:
    if not rows:
        raise ValueError("no row belongs to the training part")
    file = out.parent / "rows.jsonl"
    file.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows), encoding="utf-8")
    arguments = [str(base.absolute()), str(file.absolute()), str(out.absolute()), str(n_epochs)]
    try:
        child = Child("verifiers.entailment.trainer", arguments, start_s=START_S, max_reply_bytes=MAX_REPLY_BYTES,
                      environment=child_environment())  # fmt: skip
    except (OSError, ChildDiedError) as error:
        raise VerifierError(f"cannot start a process to train in: {error}") from error
    try:
        reply = child.first
        while not reply.get("done"):
            if "error" in reply:
                raise VerifierError(f"training broke: {reply['error']}")
            if "step" in reply:
                report("training", reply["step"]["done"], reply["step"]["of"])
            reply = child.ask({}, STALL_S)
    except ChildDiedError as error:
        raise VerifierError(f"training broke: {error}") from error
    finally:
        child.kill()
