"""all-MiniLM-L6-v2 on ONNX Runtime, on one thread of the CPU: the only door to ONNX Runtime and tokenizers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from worker.errors import ConfigurationError
from worker.models.catalogue import find_model
from worker.models.shelf import locate

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

MODEL = "all-minilm-l6-v2"
TOKENIZER = "all-minilm-l6-v2-tokenizer"
DIMENSIONS = 384
MAX_TOKENS = 256  # the model was trained on so many at most
MAX_CHARS = 20_000  # no text of so many has so few tokens; longer ones are not even tokenised
NO_WORDS = 2  # tokens of an empty text: where it begins and where it ends


class MiniLM:
    """A loaded sentence model of 23 MB; about 4 ms for a short text."""

    def __init__(self, session: InferenceSession, tokenizer: Tokenizer, *, revision: str) -> None:
        self._session = session
        self._tokenizer = tokenizer
        self._revision = revision

    @classmethod
    def load(cls, models_dir: Path) -> MiniLM:
        """Return the model from its files, whose sha256 is checked.

        Raises:
            ConfigurationError: The extra ``embedding`` is not installed; the message says how to.
            ModelFetchError: The weights are not on this machine or are damaged; the message says what to do.
        """
        try:
            import onnxruntime  # noqa: PLC0415 (an optional extra)
            import tokenizers  # noqa: PLC0415 (likewise)
        except ImportError as error:
            raise ConfigurationError(
                "embeddings need ONNX Runtime and tokenizers, which are not installed; run `make embedding` in the "
                "project's folder (or install the extra `embedding` wherever this worker is)"
            ) from error
        weights, vocabulary = locate(MODEL, models_dir), locate(TOKENIZER, models_dir)
        options = onnxruntime.SessionOptions()
        # The verify worker's threads are the parallelism; one thread per text also keeps sums in one order.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only
        session = onnxruntime.InferenceSession(
            str(weights), sess_options=options, providers=["CPUExecutionProvider"]
        )
        tokenizer = tokenizers.Tokenizer.from_file(str(vocabulary))
        tokenizer.no_padding()
        tokenizer.no_truncation()  # a text cut short would equal every text that begins like it
        return cls(session, tokenizer, revision=find_model(MODEL).sha256[:16])

    @property
    def name(self) -> str:
        """See ``Embedder``."""
        return MODEL

    @property
    def revision(self) -> str:
        """See ``Embedder``."""
        return self._revision

    def embed(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return one row of length 1 per text; NaN for one of more than 256 tokens, or of none.

        One text a run: the int8 model scales its activations by the largest of a batch, so in company a text would
        get another vector than alone.
        """
        rows = [self._one(text) for text in texts]
        return np.array(rows, dtype=np.float64).reshape(len(rows), DIMENSIONS)

    def _one(self, text: str) -> NDArray[np.float64]:
        nothing = np.full(DIMENSIONS, np.nan)
        if len(text) > MAX_CHARS:
            return nothing
        ids = self._tokenizer.encode(text).ids
        if not NO_WORDS < len(ids) <= MAX_TOKENS:
            return nothing
        tokens = np.array([ids], dtype=np.int64)
        (hidden,) = self._session.run(
            ["last_hidden_state"],
            {
                "input_ids": tokens,
                "attention_mask": np.ones_like(tokens),
                "token_type_ids": np.zeros_like(tokens),
            },
        )
        mean: NDArray[np.float64] = np.asarray(hidden, dtype=np.float64)[0].mean(axis=0)  # mean pooling
        return np.asarray(mean / np.linalg.norm(mean))
