"""Settings of the whole suite, and what its tests need of the machine."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest
from hypothesis import settings

from verifiers.code.verifier import CodeVerifier
from verifiers.errors import SandboxUnavailableError
from verifiers.sandbox.docker_image import build, is_ready
from verifiers.sandbox.engine import Engine
from verifiers.sandbox.node import FIX, node_path

# No deadline: a loaded machine is slow, not wrong.
settings.register_profile("default", deadline=None, derandomize=True)
settings.load_profile("default")


def _missing(what: str) -> None:
    """End the test for want of something: a skip on a laptop, a failure in CI."""
    if os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="session")
def needs_sandbox() -> None:
    """Have a sandbox that works: the one that MERGEREASONER_SANDBOX names, or the first there is."""
    availability = CodeVerifier.availability()
    if not availability.ok:
        _missing(f"no sandbox here: {availability.reason}; {availability.fix}")


@pytest.fixture(scope="session")
def needs_node() -> None:
    """Have node, for programs in JavaScript."""
    if node_path() is None:
        _missing(f"no node here: {FIX}")


@pytest.fixture(scope="session")
def docker_engine() -> Engine:
    """Have a Docker engine, with our image in it."""
    try:
        found = Engine()
        if not is_ready(found):
            build(found)
    except SandboxUnavailableError as error:
        _missing(f"no Docker engine here: {error}")
    return found


@pytest.fixture
def needs_pyarrow() -> None:
    """Have what writes Parquet."""
    if find_spec("pyarrow") is None:
        _missing("no pyarrow here: pip install 'mergereasoner[parquet]'")
