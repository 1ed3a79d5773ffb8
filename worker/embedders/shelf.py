"""The embedder of this process, loaded when it is first asked."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from verifiers.errors import ModelUnavailableError
from worker.embedders.minilm import MODEL, TOKENIZER, MiniLM
from worker.errors import ConfigurationError, ModelFetchError
from worker.models.catalogue import find_model
from worker.models.shelf import locate


def embedder_if_here(models_dir: Path) -> tuple[LazyEmbedder | None, str]:
    """Return the embedder when its libraries and weights are on this machine, else ``None`` and why; loads nothing."""
    absent = [name for name in ("onnxruntime", "tokenizers") if find_spec(name) is None]
    if absent:
        return None, f"{absent[0]} is not installed; `make embedding` installs it"
    try:
        for model in (MODEL, TOKENIZER):
            locate(model, models_dir)
    except ModelFetchError as error:
        return None, str(error)
    return LazyEmbedder(models_dir), ""


class LazyEmbedder:
    """An ``Embedder`` that loads its model with the first text."""

    def __init__(self, models_dir: Path) -> None:
        self._models_dir = models_dir
        self._loading = threading.Lock()
        self._loaded: MiniLM | None = None

    @property
    def name(self) -> str:
        """See ``Embedder``."""
        return MODEL

    @property
    def revision(self) -> str:
        """See ``Embedder``."""
        return find_model(MODEL).sha256[:16]

    def embed(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Do as ``Embedder`` says.

        Raises:
            ModelUnavailableError: The extra or the weights are missing; the message says the fix. Asked again,
                it looks again.
        """
        with self._loading:
            if self._loaded is None:
                try:
                    self._loaded = MiniLM.load(self._models_dir)
                except (ConfigurationError, ModelFetchError) as error:
                    raise ModelUnavailableError(str(error)) from error
        return self._loaded.embed(texts)
