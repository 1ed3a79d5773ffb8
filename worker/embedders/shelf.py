"""The embedder of this process, loaded when it is first asked."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from verifiers.errors import ModelUnavailableError
from worker.embedders.minilm import MODEL, MiniLM
from worker.errors import ConfigurationError, ModelFetchError
from worker.models.catalogue import find_model


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
