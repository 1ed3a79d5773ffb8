"""The file system that sandboxed processes see: this interpreter, its libraries and our runtime, copied to a folder.

A copy, not a dozen bind mounts, for three reasons: a dropped uid cannot reach an interpreter below ``/root``; one mount
starts faster than twenty; and nothing else of the host can be in it by accident. It is built once per interpreter
(half a second, about 70 MB) and shared by all processes of a user. Our own
code stands apart, since it changes more often.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import py_compile
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path

from verifiers.errors import SandboxUnavailableError

PYTHON = "/python/bin/python3"  # inside
LIBRARIES = "/lib"  # inside
RUNTIME = "/runtime"  # inside
_LAYOUT = "6"  # changes whenever the layout below does
_INSIDE = Path(__file__).parent / "inside"
_SOURCES = ("*.py", "javascript/*.js")
# Not needed by programs under test, or only of use to somebody at a terminal.
_LEFT_OUT = {
    "other people's": ("site-packages", "dist-packages"),
    "tests": ("test", "tests", "_test*", "_ctypes_test*", "_xxtestfuzz*", "xx*", "__phello__"),
    "windows": ("idlelib", "tkinter", "_tkinter*", "turtledemo", "turtle.py", "_curses*", "readline*"),
    "building": ("ensurepip", "venv", "lib2to3", "config-*", "pydoc_data", "*.opt-?.pyc"),
}
_NEEDED = re.compile(r"^\s*(\S+)\s+=>\s+(/.+?)\s+\(0x[0-9a-f]+\)$", re.MULTILINE)
_LIST_TIMEOUT_S = 20.0


def image_path() -> Path:
    """Return the folder with the image of this interpreter, built if it is not there yet.

    Raises:
        SandboxUnavailableError: It cannot be built, or somebody else could have written to it.
    """
    executable = _executable().stat()
    facts = (_LAYOUT, sys.version, sys.base_prefix, executable.st_size, executable.st_mtime_ns)
    return kept("image", repr(facts).encode(), _build_image)


def runtime_path() -> Path:
    """Return the folder with our own code for the inside, as it is in this version.

    Raises:
        SandboxUnavailableError: As for ``image_path``.
    """
    sources = b"".join(
        module.read_bytes() for pattern in _SOURCES for module in sorted(_INSIDE.glob(pattern))
    )
    return kept("runtime", sys.version.encode() + sources, _build_runtime)


def cache_folder() -> Path:
    """Return the folder where the images are kept, made if it is not there, and nobody else's.

    Raises:
        SandboxUnavailableError: Somebody else could write to it.
    """
    folder = _cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    _require_ours(folder)
    if os.geteuid() == 0:  # whatever the umask is, the uid that root drops to has to get there
        for made in (folder.parent, folder):
            made.chmod(0o755)
    return folder


def kept(kind: str, facts: bytes, build: Callable[[Path], None]) -> Path:
    """Return the folder named after what it is made of; built beside and renamed, so that nobody sees half of one.

    Raises:
        SandboxUnavailableError: It cannot be built, or somebody else could have written to it.
    """
    try:
        parent = cache_folder()
        path = parent / f"{kind}-{hashlib.sha256(facts).hexdigest()[:16]}"
        if not path.exists():
            draft = Path(tempfile.mkdtemp(prefix="draft-", dir=parent))
            try:
                build(draft)
                _open_up(draft)
                draft.rename(path)
            except OSError:
                if not path.exists():  # else somebody else was faster, which is as good
                    raise
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        _require_ours(path)
    except (OSError, subprocess.SubprocessError, py_compile.PyCompileError) as error:
        raise SandboxUnavailableError(f"the sandbox's file system cannot be built: {error}") from error
    return path


def _cache_folder() -> Path:
    # Real root's own cache folder is closed to the unprivileged uid that will read the image.
    if os.geteuid() == 0:
        return Path("/var/cache/merge-reasoner/sandbox")
    given = os.environ.get("XDG_CACHE_HOME")
    return (Path(given) if given else Path.home() / ".cache") / "merge-reasoner" / "sandbox"


def _require_ours(path: Path) -> None:
    status = path.stat()
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise SandboxUnavailableError(f"{path} can be written to by others; remove it")


def _build_image(root: Path) -> None:
    for folder in ("tmp", "dev", "node", "python/bin", LIBRARIES.strip("/"), RUNTIME.strip("/")):
        (root / folder).mkdir(parents=True)
    for device in ("null", "zero", "urandom", "random"):
        (root / "dev" / device).touch()
    inside = root / PYTHON.strip("/")
    shutil.copyfile(_executable(), inside)
    _copy_standard_library(root)
    _copy_loader(root)
    copy_libraries(root / LIBRARIES.strip("/"), [inside, *root.glob("python/**/*.so")])


def _open_up(root: Path) -> None:
    """Let everybody read it, whatever the umask was."""
    for folder, folders, files in os.walk(root):
        for name in (".", *folders):
            (Path(folder) / name).chmod(0o755)
        for name in files:
            (Path(folder) / name).chmod(0o755 if folder.endswith("/bin") or ".so" in name else 0o644)


def _executable() -> Path:
    return Path(sys.executable).resolve()


def _copy_standard_library(root: Path) -> None:
    """Copy the pure and the compiled part to where an interpreter in /python/bin looks for them."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    leave_out = shutil.ignore_patterns(*(name for names in _LEFT_OUT.values() for name in names))
    pure, compiled = Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("platstdlib"))
    shutil.copytree(pure, root / "python" / "lib" / version, ignore=leave_out)
    _compile_what_is_not(root / "python" / "lib" / version)
    # In a virtual environment platstdlib may name a folder that isn't there; then both parts are in one.
    dynamic = Path(sysconfig.get_config_var("DESTSHARED") or compiled / "lib-dynload")
    if dynamic.is_dir():
        target = root / "python" / sys.platlibdir / version / "lib-dynload"
        shutil.copytree(dynamic, target, ignore=leave_out, dirs_exist_ok=True)


def _compile_what_is_not(library: Path) -> None:
    """Compile the modules that come without byte code, as in slim container images: each claim would do it again."""
    for source in library.rglob("*.py"):
        if not Path(importlib.util.cache_from_source(str(source))).exists():
            py_compile.compile(
                str(source), quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
            )


def _copy_loader(root: Path) -> None:
    loader = _loader(_executable())
    shutil.copyfile(loader, _made(root / str(loader).lstrip("/")))


def copy_libraries(folder: Path, binaries: list[Path]) -> None:
    """Copy what the binaries are linked to, as the system's own loader says.

    Raises:
        SandboxUnavailableError: There is no loader.
    """
    loader = _loader(_executable())
    environment = {"LD_LIBRARY_PATH": f"{sysconfig.get_config_var('LIBDIR') or ''}"}
    for binary in binaries:
        # The original interpreter, since its libraries may be found relative to it ($ORIGIN).
        asked = _executable() if binary.name == "python3" else binary
        listed = subprocess.run(
            [str(loader), "--list", str(asked)],
            capture_output=True,
            text=True,
            timeout=_LIST_TIMEOUT_S,
            env=environment,
            check=False,
        )
        for name, found in _NEEDED.findall(listed.stdout):
            target = folder / Path(name).name
            if not target.exists():
                shutil.copyfile(found, target)


def _loader(binary: Path) -> Path:
    """Return the program interpreter that an ELF binary names (PT_INTERP)."""
    match = re.search(rb"\0(/[\w/.+-]*ld[\w.+-]*\.so[\w.]*)\0", binary.read_bytes()[:65536])
    if match is None:
        raise SandboxUnavailableError(f"{binary} names no dynamic loader")
    return Path(match[1].decode())


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _build_runtime(root: Path) -> None:
    """Copy what runs inside, compiled, under the same names as outside."""
    for module in _INSIDE.glob("*.py"):
        target = _made(root / "verifiers" / "sandbox" / "inside" / module.name)
        shutil.copyfile(module, target)
        py_compile.compile(
            str(target),
            doraise=True,
            dfile=f"{RUNTIME}/{module.name}",
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
    for script in _INSIDE.glob("javascript/*.js"):
        shutil.copyfile(script, _made(root / "verifiers" / "sandbox" / "inside" / "javascript" / script.name))
