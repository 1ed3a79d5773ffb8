"""The NLI models of this machine: where each is, and how it comes here."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path

from verifiers.entailment.checkpoint import Checkpoint, open_checkpoint
from verifiers.entailment.nli import TransformersNli
from verifiers.errors import ModelUnavailableError
from worker.errors import ModelFetchError
from worker.models.download import download_snapshot

DEFAULT_NLI = "minilm-mnli"
FILES = ("config.json", "*.safetensors", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
         "spm.model", "vocab.txt", "vocab.json", "merges.txt", "nli_calibration.json")  # fmt: skip
"""What is fetched of a repository: no pickle and no code."""


def nli_folder(name: str, models_dir: Path) -> Path:
    """Return where the model of this name is or would be: a folder's path, else a place in the models directory."""
    path = Path(name).expanduser()
    return path if path.is_dir() else models_dir / "nli" / name.replace("/", "--")


def find_nli(name: str, models_dir: Path) -> Checkpoint:
    """Return the checkpoint of this name.

    Args:
        name: The default's, a hub name that was pulled (``owner/model``), or a folder.
        models_dir: Where weights are kept.

    Raises:
        ModelUnavailableError: It isn't on this machine, or can't be used; the message says the fix.
    """
    folder = nli_folder(name, models_dir)
    if not folder.is_dir():
        raise ModelUnavailableError(f"the NLI model {name} is not on this machine; {_way_to_get(name)}")
    return open_checkpoint(folder, name=name if folder.parent == models_dir / "nli" else folder.name)


@functools.cache
def nli_of(name: str, models_dir: Path) -> TransformersNli:
    """Return the model of this name, one for all who ask in this process; whoever closes it only unloads it."""
    return TransformersNli(lambda: find_nli(name, models_dir))


def pull_nli(name: str, models_dir: Path, *, watcher: Callable[[int], None]) -> Checkpoint:
    """Fetch a checkpoint of the model hub, which appears only when it is whole and can be used.

    Args:
        name: ``owner/model``.
        models_dir: Where weights are kept.
        watcher: Is told twice a second how many bytes have come.

    Raises:
        ModelFetchError: The hub can't be reached, or has no such model.
        ModelUnavailableError: What came is no NLI model in safetensors.
    """
    folder = nli_folder(name, models_dir)
    if folder.is_dir():
        return find_nli(name, models_dir)
    workshop = folder.with_name(f".{folder.name}.parts")
    try:
        workshop.mkdir(parents=True, exist_ok=True)
        download_snapshot(name, FILES, workshop, watcher=watcher)
    except ModelFetchError as error:
        raise ModelFetchError(
            f"{name} could not be fetched from the model hub: {error}. Check the name and the network, or copy the "
            f"model's folder to {folder}"
        ) from error
    except OSError as error:
        raise ModelFetchError(f"cannot write to {folder.parent}: {error.strerror or error}") from error
    open_checkpoint(workshop)
    shutil.rmtree(workshop / ".cache", ignore_errors=True)  # the hub client's own notes
    workshop.replace(folder)
    return find_nli(name, models_dir)


def _way_to_get(name: str) -> str:
    if name == DEFAULT_NLI:
        return "`make entailment` in the project's folder trains it from rows of MultiNLI"
    if "/" in name:
        return f"fetch it with: merge-reasoner models pull-nli {name}"
    return (
        f"give {DEFAULT_NLI}, the model hub's name of a DeBERTa-v3-class NLI model, or the path of a folder"
    )
