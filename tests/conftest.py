"""Settings of the whole suite."""

from __future__ import annotations

from hypothesis import settings

# No deadline: a loaded machine is slow, not wrong.
settings.register_profile("default", deadline=None, derandomize=True)
settings.load_profile("default")
