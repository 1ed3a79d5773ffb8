"""The one door to a Docker engine: containers with nothing but a processor, some memory and two byte streams."""

from __future__ import annotations

import contextlib
import os
import socket
import tarfile
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import docker.errors
import docker.types
import requests

from verifiers.errors import SandboxUnavailableError
from verifiers.sandbox.protocol import Limits

IMAGE = "merge-reasoner-sandbox"
RUNTIME_LABEL = "merge-reasoner.runtime"
_SANDBOX_LABEL = "merge-reasoner.sandbox"
_OWNER_LABEL = "merge-reasoner.owner"
_MADE_LABEL = "merge-reasoner.made"
_TIMEOUT_S = 30  # for any one answer of the engine
_ABANDONED_AFTER_S = 3600.0  # longer than any container is kept: whoever made an older one is gone
_OWN_BYTES = 128 * 1024 * 1024  # for the preloaded Python, the judge and its files, beside the judged
_OWN_PROCESSES = 8
_RUNTIME_PROCESSES = 1000  # of gVisor, whose kernel is a process of the container with many threads
ROOM = "/room"  # the root folder of the judged, see docker/sandbox.Dockerfile
_DEVICES = ("null", "zero", "random", "urandom")  # that the judged has
_INODE_BYTES = 4096  # one file of the scratch folder for so many of its bytes
_USUAL = "unix:///var/run/docker.sock"
_TROUBLES = (docker.errors.DockerException, requests.RequestException, OSError)


class Container:
    """A running container and the two-way stream to its first process."""

    def __init__(self, engine: Engine, name: str, attached: socket.SocketIO) -> None:
        self._engine = engine
        self._attached = attached
        self._stream: socket.socket = attached._sock  # type: ignore[attr-defined]  # noqa: SLF001 - has no public name
        self._stream.settimeout(None)
        self.name = name

    @property
    def stream(self) -> socket.socket:
        """The connection; what comes out of it is in the engine's frames, see ``unframed``."""
        return self._stream

    def remove(self) -> None:
        """End it and delete it; an engine that doesn't answer is not waited for."""
        self._attached.close()
        self._stream.close()
        self._engine.remove(self.name)


class Engine:
    """A Docker engine, at ``url`` or where the environment says (DOCKER_HOST, or the usual socket).

    Raises:
        SandboxUnavailableError: There is none, or it doesn't answer.
    """

    def __init__(self, url: str | None = None, *, runtime: str | None = None) -> None:
        self._runtime = runtime  # such as "runsc", gVisor's name where it is installed
        self._socket_path = _socket_path(url or os.environ.get("DOCKER_HOST") or _USUAL)
        with self._asking("there is no Docker engine"):
            environment = {"DOCKER_HOST": url} if url else None
            self._client: Any = docker.DockerClient.from_env(timeout=_TIMEOUT_S, environment=environment)
            try:
                self._client.ping()
            except BaseException:
                self._client.close()
                raise

    def image_digest(self, image: str = IMAGE) -> str | None:
        """Return the digest of our code in the image, or None where there is no such image.

        Raises:
            SandboxUnavailableError: The engine doesn't answer.
        """
        with self._asking("the Docker engine did not answer"):
            try:
                labels = self._client.images.get(image).labels
            except docker.errors.ImageNotFound:
                return None
            return str(labels.get(RUNTIME_LABEL, ""))

    def start(self, image: str, code: str, limits: Limits) -> Container:
        """Start a hardened container that runs ``code``.

        Raises:
            SandboxUnavailableError: It did not start.
        """
        name = f"merge-reasoner-{uuid.uuid4().hex[:16]}"
        with self._asking("no container could be started"):
            hardened = _hardened(limits, _RUNTIME_PROCESSES if self._runtime else _OWN_PROCESSES)
            host = self._client.api.create_host_config(**hardened, runtime=self._runtime)
            made = self._client.api.create_container(
                image,
                ["-c", code],
                name=name,
                host_config=host,
                labels={_SANDBOX_LABEL: "1", _OWNER_LABEL: owner(), _MADE_LABEL: f"{time.time():.0f}"},
                hostname="sandbox",
                network_disabled=True,
                stdin_open=True,
                user="0:0",  # to be given up, claim by claim, for a uid that nothing else has
                stop_signal="SIGKILL",  # so that an engine which stops, or returns, doesn't wait for it
                working_dir="/tmp",  # noqa: S108 - the container's
            )
            try:
                # Standard input ends with this connection, and the container with its standard input.
                params = {"stdin": 1, "stdout": 1, "stream": 1}
                attached = self._client.api.attach_socket(made["Id"], params=params)
                self._client.api.start(made["Id"])
            except BaseException:
                self.remove(name)
                raise
        return Container(self, name, attached)

    def remove(self, name: str) -> None:
        """Kill and delete a container; never raises, since whatever is left is found by its label later."""
        with contextlib.suppress(SandboxUnavailableError), self._asking("a container could not be removed"):
            self._client.api.remove_container(name, force=True)

    def sweep(self) -> int:
        """Remove the containers of workers that are dead; return how many."""
        n_removed = 0
        with self._asking("the Docker engine did not answer"):
            for found in self._client.api.containers(all=True, filters={"label": f"{_SANDBOX_LABEL}=1"}):
                labels = found["Labels"]
                age_s = time.time() - float(labels.get(_MADE_LABEL, 0))
                if _is_dead(labels.get(_OWNER_LABEL, "")) or age_s > _ABANDONED_AFTER_S:
                    self.remove(found["Id"])
                    n_removed += 1
        return n_removed

    def import_base(self, root: Path, tag: str) -> None:
        """Make an image of a folder.

        Raises:
            SandboxUnavailableError: The engine refused.
        """
        with self._asking("the base image could not be made"), tempfile.TemporaryFile() as file:
            with tarfile.open(fileobj=file, mode="w") as archive:
                archive.add(root, ".", filter=_of_root)
            file.seek(0)
            repository, _, version = tag.partition(":")
            self._client.api.import_image_from_data(file, repository=repository, tag=version or "latest")

    def build(
        self, context: Path, dockerfile: str, tag: str, arguments: dict[str, str], *, network: bool
    ) -> None:
        """Build an image from the files below ``context`` that it needs.

        Raises:
            SandboxUnavailableError: It could not be built.
        """
        with self._asking("the image could not be built"), tempfile.TemporaryFile() as file:
            with tarfile.open(fileobj=file, mode="w") as archive:
                inside = context / "verifiers/sandbox/inside"
                folders = [(context / dockerfile).parent, inside, inside / "javascript"]
                for source in sorted(
                    path for folder in folders for path in folder.iterdir() if path.is_file()
                ):
                    archive.add(source, str(source.relative_to(context)), filter=_of_root)
            file.seek(0)
            self._client.images.build(
                fileobj=file,
                custom_context=True,
                dockerfile=dockerfile,
                tag=tag,
                buildargs=arguments,
                network_mode=None if network else "none",
                rm=True,
                forcerm=True,
            )

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    @contextlib.contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        """Ask the engine something; whatever goes wrong says nothing about any program."""
        try:
            if self._socket_path is not None:  # where nobody listens, the SDK would leave sockets open
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.connect(self._socket_path)
            yield
        except _TROUBLES as error:
            raise SandboxUnavailableError(f"{what}: {' '.join(str(error).split())[:500]}") from error


def owner() -> str:
    """Return a name for this process that tells whether it is still alive."""
    link = Path("/proc/self/ns/pid")
    namespace = link.readlink().name if link.is_symlink() else ""
    return f"{socket.gethostname()}/{namespace}/{os.getpid()}/{_born(os.getpid())}"


def unframed(data: bytearray) -> bytes:
    """Take what is complete out of the engine's frames (one byte of kind, three of nothing, four of size)."""
    found = bytearray()
    while len(data) >= 8:
        end = 8 + int.from_bytes(data[4:8], "big")
        if len(data) < end:
            break
        found += data[8:end]
        del data[:end]
    return bytes(found)


def _hardened(limits: Limits, n_own_processes: int) -> dict[str, Any]:
    n_inodes = limits.scratch_bytes // _INODE_BYTES
    scratch = f"size={limits.scratch_bytes},nr_inodes={n_inodes},mode=1777,noexec,nosuid,nodev"
    memory = limits.memory_bytes + _OWN_BYTES
    return {
        "auto_remove": True,
        "cap_drop": ["ALL"],
        # Of the first process alone: uids for a claim's processes, a root folder for the judged, an end for both.
        "cap_add": ["SETUID", "SETGID", "SYS_CHROOT", "KILL"],
        "devices": [f"/dev/{name}:{ROOM}/dev/{name}:rw" for name in _DEVICES],
        "dns": ["127.0.0.1"],  # or the host's name servers would stand in resolv.conf
        "dns_search": ["."],
        "ipc_mode": "none",  # with it, no /dev/shm
        "log_config": docker.types.LogConfig(type="none"),
        "mem_limit": memory,
        "memswap_limit": memory,
        "network_mode": "none",
        "pids_limit": 2 * limits.n_processes + n_own_processes,
        "read_only": True,
        "security_opt": ["no-new-privileges"],
        "tmpfs": {"/tmp": scratch, f"{ROOM}/tmp": scratch},  # noqa: S108 - the container's
    }


def _is_dead(name: str) -> bool:
    """Return whether a container's owner lived here and is no more; False when that can't be seen from here."""
    here = owner().split("/")
    there = name.split("/")
    if len(there) != len(here) or there[:-2] != here[:-2]:
        return False
    return not there[-2].isdigit() or _born(int(there[-2])) != there[-1]


def _born(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _of_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mtime = 0
    return entry


def _socket_path(url: str) -> str | None:
    return url.removeprefix("unix://") if url.startswith("unix://") else None
