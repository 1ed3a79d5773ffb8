"""llama.cpp's own server inside this process: the one place that imports xllamacpp."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import secrets
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import httpx

from worker.errors import ConfigurationError, EngineUnavailableError, PromptTooLongError, RequestRefusedError

logger = logging.getLogger(__name__)

ERRORS_ONLY = 1  # llama.cpp's verbosity; it writes to standard error, which a worker sends to its log
CONTROL_TIMEOUT_S = (
    60.0  # tokenizing and loading a saved prompt take milliseconds, but the machine may be busy
)
PROMPTS_DIR_PREFIX = "merge-reasoner-llama-"
KEPT_PROMPTS = 32  # saved prompts; 12 kB a token for a 0.5B model

Messages = Sequence[Mapping[str, str]]


class LlamaServer:
    """A loaded model with a fixed number of slots, each of which works on one chain at a time.

    Chains go through the library's calls. What those do not offer (counting tokens, copying a prompt from slot to
    slot) goes through the HTTP port that llama.cpp opens anyway; it is on loopback and its key is known to us only.

    Args:
        model_file: Weights in GGUF.
        n_slots: Chains that are decoded together.
        context_tokens: Room of each slot.
        n_threads: Of the processor.
        log_file: Where llama.cpp tells what goes wrong while it loads; afterwards it uses standard error.
    """

    def __init__(
        self, model_file: Path, *, n_slots: int, context_tokens: int, n_threads: int, log_file: Path | None
    ) -> None:
        _check_is_gguf(model_file)
        # Idle OpenMP threads would spin and starve everything else on the machine; read when libgomp loads.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        import xllamacpp  # noqa: PLC0415 - after the line above

        _remove_what_killed_processes_left()
        self._prompts_dir = tempfile.TemporaryDirectory(prefix=f"{PROMPTS_DIR_PREFIX}{os.getpid()}-")
        key = secrets.token_urlsafe(32)
        params = xllamacpp.CommonParams()
        params.model.path = str(model_file)
        params.n_ctx = context_tokens * n_slots
        params.n_parallel = n_slots
        params.cpuparams.n_threads = n_threads
        params.cpuparams_batch.n_threads = n_threads
        params.verbosity = ERRORS_ONLY
        params.ui = False
        params.endpoint_slots = False
        params.api_keys = [key]
        params.slot_save_path = f"{self._prompts_dir.name}/"
        params.cache_ram_mib = 0  # its own cache of prompts, up to 8 GB, which our saved prompts replace
        try:
            self._server: Any = _load(xllamacpp.Server, params, log_file)
        except EngineUnavailableError:
            self._prompts_dir.cleanup()
            raise
        self._http = httpx.Client(
            base_url=self._server.listening_address,
            headers={"Authorization": f"Bearer {key}"},
            timeout=CONTROL_TIMEOUT_S,
            trust_env=False,  # no proxy between us and ourselves
        )
        self._saved: OrderedDict[str, None] = OrderedDict()
        self._saved_lock = Lock()
        self.context_tokens = self._slot_context()

    def render(self, messages: Messages) -> str:
        """Return the prompt as the model's own chat template writes it.

        Raises:
            RequestRefusedError: The template refuses these messages.
        """
        return str(self._control("/apply-template", {"messages": messages})["prompt"])

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a rendered prompt has."""
        body = {"content": text, "add_special": True, "parse_special": True}
        return len(self._control("/tokenize", body)["tokens"])

    def tokens_of(self, text: str) -> list[int]:
        """Return the tokens of a text that stands inside a turn; what looks like a special token is text."""
        body = {"content": text, "add_special": False, "parse_special": False}
        return [int(token) for token in self._control("/tokenize", body)["tokens"]]

    def read_prompt(self, slot: int, messages: Messages, *, key: str) -> None:
        """Let the slot read a prompt from its beginning, and save what it has read under ``key``.

        A copy takes 2 ms where reading 240 tokens takes 2 s, so k chains cost one reading. And always from the
        beginning: what lies in the slot would save a little time and make chains depend on what ran before.
        """
        body = {"messages": messages, "max_tokens": 0, "id_slot": slot, "cache_prompt": False}
        _raise_error_of(self._call(body, None))
        self._control(f"/slots/{slot}?action=save", {"filename": _file_name(key)})
        with self._saved_lock:
            self._saved[key] = None
            while len(self._saved) > KEPT_PROMPTS:
                oldest, _ = self._saved.popitem(last=False)
                (Path(self._prompts_dir.name) / _file_name(oldest)).unlink(missing_ok=True)

    def restore_prompt(self, slot: int, *, key: str) -> bool:
        """Put a saved prompt into the slot; return whether there was one."""
        with self._saved_lock:
            if key not in self._saved:
                return False
            self._saved.move_to_end(key)
        try:
            self._control(f"/slots/{slot}?action=restore", {"filename": _file_name(key)})
        except RequestRefusedError:
            return False  # evicted a moment ago; the prompt is read again
        return True

    def stream(
        self, slot: int, body: Mapping[str, object], on_chunk: Callable[[dict[str, Any]], bool]
    ) -> None:
        """Run a chat completion in the slot; ``on_chunk`` returns whether to stop.

        Raises:
            RequestRefusedError: llama.cpp refuses the request.
            EngineUnavailableError: It failed.
        """
        errors: list[dict[str, Any]] = []

        def receive(chunk: dict[str, Any]) -> bool:
            if "error" in chunk:
                errors.append(chunk)
                return True
            return on_chunk(chunk)

        self._call({**body, "id_slot": slot, "stream": True}, receive)
        for chunk in errors:
            _raise_error_of(chunk)

    def fault(self) -> str:
        """Return what is wrong with the server, or an empty string."""
        try:
            reply = self._http.get("/health", timeout=5.0)
        except (httpx.HTTPError, RuntimeError) as error:  # RuntimeError: the client is closed
            return f"llama.cpp does not answer: {error}"
        return "" if reply.is_success else f"llama.cpp answers {reply.status_code}"

    def close(self) -> None:
        """Free the model; no call may be under way."""
        self._http.close()
        self._server = None  # its destructor ends the server's threads
        self._prompts_dir.cleanup()

    def _slot_context(self) -> int:
        # llama.cpp caps it at what the model was trained for
        try:
            return int(self._http.get("/props").json()["default_generation_settings"]["n_ctx"])
        except (httpx.HTTPError, ValueError, KeyError) as error:
            raise EngineUnavailableError(
                f"llama.cpp started but does not tell its context: {error}"
            ) from error

    def _call(
        self, body: Mapping[str, object], on_chunk: Callable[[dict[str, Any]], bool] | None
    ) -> dict[str, Any] | None:
        arguments = (dict(body),) if on_chunk is None else (dict(body), on_chunk)
        try:
            answer: dict[str, Any] | None = self._server.handle_chat_completions(*arguments)
        except RuntimeError as error:
            raise EngineUnavailableError(f"llama.cpp failed: {error}") from error
        return answer

    def _control(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        try:
            reply = self._http.post(path, json=body)
            answer: dict[str, Any] = reply.json()
        except (httpx.HTTPError, ValueError, RuntimeError) as error:
            raise EngineUnavailableError(f"llama.cpp does not answer: {error}") from error
        _raise_error_of(answer)
        return answer


def _load(server: Callable[[Any], Any], params: Any, log_file: Path | None) -> Any:  # noqa: ANN401 - untyped library
    """Load the model; what llama.cpp writes to standard error meanwhile becomes the reason of the error."""
    with contextlib.ExitStack() as stack:
        if log_file is None:
            log = stack.enter_context(tempfile.TemporaryFile())
        else:
            log_file.parent.mkdir(parents=True, exist_ok=True)
            log = stack.enter_context(log_file.open("ab+"))
        begin = log.seek(0, os.SEEK_END)
        try:
            with _standard_error_to(log.fileno()):
                return server(params)
        except RuntimeError as error:
            log.seek(begin)
            said = log.read().decode(errors="replace").strip().splitlines()
            raise EngineUnavailableError(
                f"llama.cpp cannot load {params.model.path}: {said[0] if said else error}"
                + (f"; see {log_file}" if log_file else "")
            ) from error


@contextlib.contextmanager
def _standard_error_to(fd: int) -> Iterator[None]:
    # llama.cpp writes to the descriptor, not to sys.stderr
    kept = os.dup(2)
    os.dup2(fd, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _raise_error_of(answer: Mapping[str, Any] | None) -> None:
    if not answer or "error" not in answer:
        return
    error = answer["error"]
    message = f"llama.cpp: {error.get('message', error)}"
    if error.get("type") == "exceed_context_size_error":
        raise PromptTooLongError(message)
    if error.get("type") == "unavailable_error":
        raise EngineUnavailableError(message)
    raise RequestRefusedError(message)


def _check_is_gguf(model_file: Path) -> None:
    try:
        with model_file.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the model {model_file}: {error.strerror}; merge-reasoner models pull fetches one"
        ) from error
    if magic != b"GGUF":
        raise ConfigurationError(f"{model_file} is not a GGUF file; merge-reasoner models pull fetches one")


def _remove_what_killed_processes_left() -> None:
    for directory in Path(tempfile.gettempdir()).glob(f"{PROMPTS_DIR_PREFIX}*-*"):
        pid = directory.name.removeprefix(PROMPTS_DIR_PREFIX).split("-")[0]
        if directory.lstat().st_uid == os.geteuid() and pid.isdigit() and not _is_alive(int(pid)):
            shutil.rmtree(directory, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _file_name(key: str) -> str:
    return f"{hashlib.sha256(key.encode()).hexdigest()}.bin"
