"""A folder with an NLI model, as far as it can be judged without loading it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from verifiers.entailment.calibration import FILE_NAME, Calibration, read_calibration
from verifiers.errors import ModelUnavailableError

RELATIONS = ("entailment", "neutral", "contradiction")
CONFIG = "config.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
LIBRARIES = ("torch", "transformers", "safetensors")
CHUNK_BYTES = 1 << 24


@dataclass(frozen=True)
class Checkpoint:
    """Where a model is and what is known of it without loading it."""

    folder: Path
    name: str
    """As it stands on every verdict: the hub's name, or the folder's."""

    labels: tuple[str, str, str]
    """The relation of each of the model's outputs, in their order."""

    uses_calibration: bool = True
    """Whether a calibration beside the weights counts; not while a new one is fitted."""

    @cached_property
    def revision(self) -> str:
        """The start of the sha256 over everything that decides a score; a second per gigabyte, once."""
        digest = hashlib.sha256()
        for path in sorted(
            [self.folder / CONFIG, *self.folder.glob("*.safetensors"), *_vocabulary(self.folder)]
        ):
            digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    digest.update(chunk)
        return digest.hexdigest()[:16]

    @cached_property
    def calibration(self) -> Calibration:
        """The thresholds stored beside the weights, if they were fitted to these very weights; else the defaults.

        Raises:
            ModelUnavailableError: The file cannot be read.
        """
        if not self.uses_calibration:
            return Calibration()
        return read_calibration(self.folder / FILE_NAME, revision=self.revision)


def open_checkpoint(folder: Path, *, name: str | None = None) -> Checkpoint:
    """Return the checkpoint in ``folder``.

    Args:
        folder: As ``save_pretrained`` leaves it: config.json, the weights as safetensors, the tokenizer.
        name: The folder's own when left out.

    Raises:
        ModelUnavailableError: It is none, is kept as a pickle, or does not say which output means what; the message
            says the fix.
    """
    config = folder / CONFIG
    if not config.is_file():
        raise ModelUnavailableError(f"there is no model in {folder}: {CONFIG} is missing")
    if not any(folder.glob("*.safetensors")):
        if any(next(folder.glob(pattern), None) for pattern in PICKLES):
            raise ModelUnavailableError(
                f"the weights in {folder} are a pickle, which can run any code when it is read; take a revision with "
                "model.safetensors, or convert them once on a machine you can spare: "
                "AutoModelForSequenceClassification.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER)"
            )
        raise ModelUnavailableError(f"the weights are missing in {folder}: no *.safetensors there")
    return Checkpoint(folder=folder, name=name or folder.name, labels=_labels(config))


def missing_libraries() -> str | None:
    """Return what is to be installed before any model can be loaded, as a sentence; ``None`` when nothing is."""
    missing = [library for library in LIBRARIES if find_spec(library) is None]
    if not missing:
        return None
    return (
        f"entailment needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed; run "
        "`make entailment` in the project's folder (or install the extra `entailment` wherever this worker is)"
    )


def _labels(config: Path) -> tuple[str, str, str]:
    try:
        written: Any = json.loads(config.read_text(encoding="utf-8"))["id2label"]
        names = [str(written[str(i)]).strip().lower() for i in range(len(written))]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelUnavailableError(
            f"{config} names no labels: it needs id2label, e.g. {json.dumps(dict(enumerate(RELATIONS)))}"
        ) from error
    if sorted(names) != sorted(RELATIONS):
        raise ModelUnavailableError(
            f"the labels in {config} are {', '.join(names)[:200]}; an NLI model has {', '.join(RELATIONS)}. If it is "
            "one, write what each output means into id2label there, as its model card tells; the order is never guessed"
        )
    return (names[0], names[1], names[2])


def _vocabulary(folder: Path) -> list[Path]:
    names = ("tokenizer.json", "tokenizer_config.json", "spm.model", "vocab.txt", "vocab.json", "merges.txt")
    return [folder / name for name in names if (folder / name).is_file()]
