"""From settings to what an engine is built of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from worker.engines.folders import ORIGIN, revision_of
from worker.errors import ConfigurationError, ModelFetchError
from worker.generation import engine_options, loads_a_file
from worker.settings import Settings


def settings(tmp_path: Path, **changes: Any) -> Settings:
    return Settings(state_dir=tmp_path, **changes)


@pytest.mark.parametrize("engine", ["transformers", "vllm"])
def test_a_gguf_is_converted_into_the_models_folder(tmp_path: Path, engine: str) -> None:
    file = tmp_path / "mine.gguf"
    file.touch()
    options = engine_options(settings(tmp_path, engine=engine, model=str(file)), {})
    assert options.model_file == file
    assert options.converted_dir == tmp_path / "models"
    assert options.model_dir is None


@pytest.mark.parametrize("engine", ["transformers", "vllm"])
def test_a_folder_is_used_as_it_is_and_another_name_is_the_hub_s(tmp_path: Path, engine: str) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    of_folder = engine_options(settings(tmp_path, engine=engine, model=str(folder)), {})
    of_hub = engine_options(settings(tmp_path, engine=engine, model="Qwen/Qwen2.5-7B"), {})
    assert (of_folder.model_dir, of_hub.model_dir) == (str(folder), "Qwen/Qwen2.5-7B")
    assert not loads_a_file(settings(tmp_path, engine=engine, model="Qwen/Qwen2.5-7B"))


def test_a_known_model_that_is_not_here_is_told_with_the_way_to_fetch_it(tmp_path: Path) -> None:
    for engine in ("llamacpp", "vllm"):
        with pytest.raises(ModelFetchError, match="models pull"):
            engine_options(settings(tmp_path, engine=engine), {})


def test_an_endpoint_needs_no_file_and_gets_its_key_from_the_environment(tmp_path: Path) -> None:
    options = engine_options(
        settings(tmp_path, engine="openai", base_url="http://h/v1", logprobs="never", parallel_chains=3),
        {"OPENAI_API_KEY": "sekret"},
    )
    assert (options.api_key, options.logprobs, options.n_parallel) == ("sekret", "never", 3)
    assert options.model_file is None


@pytest.mark.parametrize("text", ["{", "[]", "3"])
def test_options_that_are_no_json_object_are_a_mistake(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="ENGINE_OPTIONS"):
        engine_options(settings(tmp_path, engine="openai", engine_options=text), {})


def test_what_pins_a_folder_down_is_its_commit_its_origin_or_its_content(tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshots" / ("0123456789abcdef" * 2)
    snapshot.mkdir(parents=True)
    assert revision_of(snapshot) == "0123456789abcdef"
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"one")
    before = revision_of(folder)
    (folder / "model.safetensors").write_bytes(b"two")
    assert revision_of(folder) != before
    (folder / ORIGIN).write_text('{"sha256": "fedcba9876543210ffff"}')
    assert revision_of(folder) == "fedcba9876543210-dequantised"
