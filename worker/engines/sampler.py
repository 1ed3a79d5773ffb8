"""Which tokens may be sampled, alike in every engine of ours: llama.cpp's defaults.

Without them a small model at temperature 0.9 now and then takes a token of its far tail and talks nonsense from there
on. llama.cpp and our transformers engine cut the tail before they apply the temperature, vLLM min-p after it.
"""

from __future__ import annotations

TOP_K = 40
TOP_P = 0.95
MIN_P = 0.05
