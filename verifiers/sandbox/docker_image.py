"""Builds the image of the Docker sandbox: ``python -m verifiers.sandbox.docker_image [BASE_IMAGE]``.

Without a base image it makes one of the running interpreter, and of node if there is one here, so that no registry is
needed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from verifiers.errors import SandboxUnavailableError
from verifiers.sandbox.engine import IMAGE, Engine
from verifiers.sandbox.image import image_path, runtime_path
from verifiers.sandbox.node import image_with_node

_ROOT = Path(__file__).parents[2]
_DOCKERFILE = "docker/sandbox.Dockerfile"
_LAYOUT = "4"  # changes whenever that file makes something else of the same code
BUILD_COMMAND = f"{Path(sys.executable).name} -m verifiers.sandbox.docker_image"


def runtime_digest() -> str:
    """Return the digest of our code for the inside, which an image must carry to be used."""
    return f"{runtime_path().name}-{_LAYOUT}"


def is_ready(engine: Engine, image: str = IMAGE) -> bool:
    """Return whether the engine has the image, with this version of our code in it.

    Raises:
        SandboxUnavailableError: The engine doesn't answer.
    """
    return engine.image_digest(image) == runtime_digest()


def build(engine: Engine, *, base: str | None = None, packages: str = "", image: str = IMAGE) -> None:
    """Build the image from ``base``, or from the running interpreter.

    Raises:
        SandboxUnavailableError: It could not be built.
    """
    if not (_ROOT / _DOCKERFILE).is_file():
        raise SandboxUnavailableError(
            f"{_DOCKERFILE} is not part of this installation; build from a checkout"
        )
    if base is None:
        base = f"{IMAGE}-base:latest"
        engine.import_base(image_with_node(image_path()), base)
    arguments = {"BASE_IMAGE": base, "PACKAGES": packages, "RUNTIME_DIGEST": runtime_digest()}
    engine.build(_ROOT, _DOCKERFILE, image, arguments, network=bool(packages))


if __name__ == "__main__":
    build(Engine(), base=sys.argv[1] if len(sys.argv) > 1 else None)
    sys.stdout.write(f"built {IMAGE}\n")
