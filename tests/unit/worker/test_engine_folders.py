"""Folders made from GGUFs: each file has its own. The library that reads GGUFs is an extra that is not here."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from worker.engines import folders
from worker.engines.folders import converted, revision_of
from worker.errors import EngineUnavailableError

Conversions = list[Path]


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> Conversions:
    made: Conversions = []

    def dequantise(gguf: Path, folder: Path) -> None:
        made.append(gguf)
        folder.mkdir()
        (folder / "weights").write_bytes(gguf.read_bytes())

    monkeypatch.setattr(folders, "_dequantise", dequantise)
    return made


def gguf(folder: Path, content: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "model.gguf").write_bytes(content)
    return folder / "model.gguf"


def test_files_of_one_name_are_not_taken_for_each_other(tmp_path: Path, conversions: Conversions) -> None:
    first, second = (gguf(tmp_path / name, name.encode()) for name in ("v1", "v2"))
    found = [converted(file, tmp_path / "models") for file in (first, second, first, second)]
    assert [(folder / "weights").read_bytes() for folder in found] == [b"v1", b"v2", b"v1", b"v2"]
    digests = [hashlib.sha256(content).hexdigest()[:16] for content in (b"v1", b"v2")]
    assert [revision_of(folder) for folder in found[:2]] == [f"{digest}-dequantised" for digest in digests]
    assert conversions == [first, second]


def test_a_file_that_was_replaced_is_converted_again(tmp_path: Path, conversions: Conversions) -> None:
    before = converted(gguf(tmp_path, b"old"), tmp_path / "models")
    after = converted(gguf(tmp_path, b"new"), tmp_path / "models")
    assert [(folder / "weights").read_bytes() for folder in (before, after)] == [b"old", b"new"]


def test_a_file_that_changes_while_it_is_converted_makes_no_folder(
    tmp_path: Path, conversions: Conversions, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, dequantise = gguf(tmp_path, b"old"), folders._dequantise

    def slowly(source: Path, folder: Path) -> None:
        dequantise(source, folder)
        gguf(tmp_path, b"new")

    monkeypatch.setattr(folders, "_dequantise", slowly)
    with pytest.raises(EngineUnavailableError, match="changed meanwhile"):
        converted(file, tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


def test_a_folder_that_another_worker_made_meanwhile_is_left_as_it_is(
    tmp_path: Path, conversions: Conversions, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, dequantise = gguf(tmp_path, b"old"), folders._dequantise

    def beside_another(source: Path, folder: Path) -> None:
        monkeypatch.setattr(folders, "_dequantise", dequantise)
        (converted(file, tmp_path / "models") / "weights").write_bytes(b"theirs")
        dequantise(source, folder)

    monkeypatch.setattr(folders, "_dequantise", beside_another)
    assert (converted(file, tmp_path / "models") / "weights").read_bytes() == b"theirs"


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailableError, match="cannot be converted"):
        converted(tmp_path / "none.gguf", tmp_path)
