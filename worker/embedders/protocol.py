"""What an embedder is: the only shape in which a sentence model meets the rest of the worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Embedder(Protocol):
    """Maps texts to vectors. Safe to call from several threads."""

    @property
    def name(self) -> str:
        """Stands on every verdict, e.g. ``all-minilm-l6-v2``."""
        ...

    @property
    def revision(self) -> str:
        """Which weights they are: the start of their sha256."""
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return one row of length 1 per text, in order.

        A row is a function of its text alone, never of what else is asked with it. A text that the model cannot
        read whole, or that says nothing, gets a row of NaN: of such a text nothing can be told.
        """
        ...
