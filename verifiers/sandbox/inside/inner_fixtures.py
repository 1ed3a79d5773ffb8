"""Fixtures that pytest gives and that only make sense in the program's own process: ``monkeypatch``, ``tmp_path``."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from verifiers.sandbox.inside.codec import Value
from verifiers.sandbox.inside.pytest_names import Fixture

_MISSING = object()


class MonkeyPatch:
    """``monkeypatch``: changes that are undone after the test."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], Any]] = []

    def setattr(self, target: Value, name: Value, value: Value = _MISSING, *, raising: bool = True) -> None:
        """Set an attribute; a target may be named by its path, with the value in the name's place."""
        if value is _MISSING:
            path, _, attribute = target.rpartition(".")
            target, name, value = _by_path(path), attribute, name
        old = (
            vars(target).get(name, _MISSING) if isinstance(target, type) else getattr(target, name, _MISSING)
        )
        if old is _MISSING and raising and not hasattr(target, name):
            raise AttributeError(name)
        self._undo.append(lambda: delattr(target, name) if old is _MISSING else setattr(target, name, old))
        setattr(target, name, value)

    def delattr(self, target: Value, name: str, *, raising: bool = True) -> None:
        """Delete an attribute."""
        if not hasattr(target, name) and not raising:
            return
        old = getattr(target, name)
        self._undo.append(lambda: setattr(target, name, old))
        delattr(target, name)

    def setitem(self, mapping: Value, key: Value, value: Value) -> None:
        """Set an item of a mapping."""
        self._remember(mapping, key)
        mapping[key] = value

    def delitem(self, mapping: Value, key: Value, *, raising: bool = True) -> None:
        """Delete an item of a mapping."""
        if key not in mapping and not raising:
            return
        self._remember(mapping, key)
        del mapping[key]

    def setenv(self, name: str, value: Value) -> None:
        """Set an environment variable."""
        self.setitem(os.environ, name, str(value))

    def delenv(self, name: str, *, raising: bool = True) -> None:
        """Delete an environment variable."""
        self.delitem(os.environ, name, raising=raising)

    def chdir(self, path: Value) -> None:
        """Change the working directory."""
        old = Path.cwd()
        self._undo.append(lambda: os.chdir(old))
        os.chdir(path)

    def undo(self) -> None:
        """Undo all changes, the last first."""
        while self._undo:
            self._undo.pop()()

    def _remember(self, mapping: Value, key: Value) -> None:
        old = mapping.get(key, _MISSING)
        self._undo.append(
            lambda: mapping.pop(key, None) if old is _MISSING else mapping.__setitem__(key, old)
        )


def _by_path(path: str) -> Value:
    """Return what a dotted path names: a module, or something in one."""
    if path in sys.modules:
        return sys.modules[path]
    parent, _, name = path.rpartition(".")
    return getattr(_by_path(parent), name) if parent else importlib.import_module(path)


def _monkeypatch() -> Iterator[MonkeyPatch]:
    patch = MonkeyPatch()
    yield patch
    patch.undo()


def _tmp_path() -> Path:
    return Path(tempfile.mkdtemp())


FIXTURES = {
    "monkeypatch": Fixture(_monkeypatch, {"name": "monkeypatch"}),
    "tmp_path": Fixture(_tmp_path, {"name": "tmp_path"}),
}
