"""How property tests run here."""

from __future__ import annotations

from hypothesis import settings

# No deadline, since a loaded machine is no bug; the same examples every time, so that a failure is a change.
settings.register_profile("suite", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("suite")
