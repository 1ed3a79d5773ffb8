"""An endpoint of OpenAI's kind on loopback, a real HTTP server that misbehaves on request."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from worker.engines.protocol import ChainRequest, Message

CONCURRENCY = 3

Reply = tuple[int, str | bytes | dict[str, Any], dict[str, str]]


class Endpoint(ThreadingHTTPServer):
    """Answers a chat completion with the seed as its text; the prompt names how to misbehave first."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        self.asked_at: dict[str, list[float]] = {}
        self.reply: Callable[[dict[str, Any]], Reply | None] = lambda _: None
        """What it says to a request, where a test wants something of its own."""

        self.room: int | None = None
        """Requests that it takes at once, each for a while; of more it says that they are too many."""

        self.n_refused = 0
        self.under_way = 0
        self.most_under_way = 0
        self.full = threading.Event()
        self.kept_waiting = threading.Event()
        self.dropped = threading.Event()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that hangs up is what some tests are about


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Endpoint

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        pass

    def reply(
        self, status: int, body: str | bytes | dict[str, Any], headers: dict[str, str] | None = None
    ) -> None:
        text = json.dumps(body) if isinstance(body, dict) else body
        data = text.encode() if isinstance(text, str) else text
        self.send_response(status)
        standard = {"Content-Type": "application/json", "Content-Length": str(len(data))}
        for name, value in {**standard, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self.reply(200, {"object": "list", "data": []})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["messages"][-1]["content"]
        server = self.server
        with server.lock:
            has_room = server.room is None or server.under_way < server.room
            server.n_refused += not has_room
            server.bodies.append(body)
            server.keys.add(self.headers.get("Authorization"))
            times = server.asked_at.setdefault(prompt, [])
            times.append(time.monotonic())
            server.under_way += 1
            server.most_under_way = max(server.under_way, server.most_under_way)
            if server.most_under_way == CONCURRENCY:
                server.full.set()
        try:
            if not has_room:
                self.reply(429, {"error": {"message": "too many"}})
            elif (said := server.reply(body)) is not None:
                self.reply(*said)
            else:
                if server.room is not None:
                    time.sleep(0.02)
                self.answer(prompt, body, n_times=len(times))
        finally:
            with server.lock:
                server.under_way -= 1

    def answer(self, prompt: str, body: dict[str, Any], *, n_times: int) -> None:
        if prompt in RAW:
            self.reply(200, RAW[prompt])
        elif prompt == "hangs up once" and n_times == 1:
            self.close_connection = True
            self.connection.close()
        elif prompt == "never":
            self.server.kept_waiting.set()
            with contextlib.suppress(ConnectionResetError):  # a reset is a hang-up too
                if self.connection.recv(1) != b"":
                    return
            self.server.dropped.set()
        elif prompt == "knows no schemas" and "response_format" in body:
            self.reply(400, {"error": {"message": "unknown field response_format"}})
        elif prompt in ONCE and n_times == 1:
            self.reply(*ONCE[prompt])
        elif prompt in ALWAYS and ("logprobs" in body or not prompt.startswith("no logprobs")):
            self.reply(*ALWAYS[prompt])
        else:
            if prompt == "slow":
                self.server.full.wait(60)  # however long the others take to come
                time.sleep(0.2)  # one too many would come now
            self.reply(200, completion(body, **ODD.get(prompt, {})))


ONCE: dict[str, Reply] = {
    "busy once": (429, {"error": {"message": "slow down"}}, {"Retry-After": "1"}),
    "broken once": (503, {"error": {"message": "loading"}}, {}),
}

ALWAYS: dict[str, Reply] = {
    "always broken": (500, {"error": {"message": "out of memory"}}, {"Retry-After-Ms": "1"}),
    "malformed": (200, '{"choices": [', {}),
    "not a completion": (200, {"hello": "world"}, {}),
    "html": (200, "<html>login</html>", {"Content-Type": "text/html"}),
    "broken upstream": (200, {"error": {"message": "upstream down", "code": 502}}, {"Retry-After-Ms": "1"}),
    "not paid": (402, {"error": {"message": "Insufficient Balance"}}, {}),
    "no quota": (429, {"error": {"message": "pay first", "type": "insufficient_quota"}}, {}),
    "comes back later": (429, {"error": {"message": "later"}}, {"Retry-After": "999999"}),
    "comes back in 2099": (
        503,
        {"error": {"message": "later"}},
        {"Retry-After": "Wed, 21 Oct 2099 07:28:00 GMT"},
    ),
    "odd type": (
        400,
        {"error": {"message": "no", "type": ["x"], "code": {"a": 1}, "param": ["logprobs"]}},
        {},
    ),
    "too long for vLLM": (
        400,
        {"error": {"message": "This model's maximum context length is 4096 tokens"}},
        {},
    ),
    "speaks of schemas": (400, {"error": {"message": "refused: 'speaks of schemas and logprobs'"}}, {}),
    "no such key": (401, {"error": {"message": "bad key"}}, {}),
    "too long": (400, {"error": {"message": "too many tokens", "code": "context_length_exceeded"}}, {}),
    "refused": (400, {"error": {"message": "temperature must be 1"}}, {}),
    "no logprobs without param": (
        400,
        {"error": {"message": "logprobs is not supported with this model"}},
        {},
    ),
    "no logprobs for FastAPI": (
        422,
        {"detail": [{"loc": ["body", "logprobs"], "msg": "extra fields not permitted"}]},
        {},
    ),
    "no logprobs here": (400, {"error": {"message": "not for this model", "param": "logprobs"}}, {}),
}

ODD: dict[str, dict[str, Any]] = {
    "ignores logprobs": {"logprobs": False},
    "cut off": {"finish_reason": "length"},
    "filtered": {"finish_reason": "content_filter", "content": None},
}


def shaped(**changes: Any) -> bytes:
    """Return a completion of one token, with changes to the whole of it."""
    token = {"token": "4", "logprob": -0.5}
    choice = {"message": {"content": "42"}, "finish_reason": "stop", "logprobs": {"content": [token]}}
    usage = {"completion_tokens": 1}
    return json.dumps({"model": "m", "choices": [choice], "usage": usage, **changes}).encode()


def saying(content: Any, logprob: Any = -0.5) -> bytes:
    """Return a completion with this content and this logprob."""
    told = {"content": [{"token": "4", "logprob": logprob}]}
    return shaped(choices=[{"message": {"content": content}, "finish_reason": "stop", "logprobs": told}])


RAW: dict[str, bytes] = {
    "half an emoji": saying("So \ud83d"),
    "half a character": saying("So X").replace(b"X", b"\xe2\x82"),
    "parts": saying([{"type": "text", "text": "4"}, {"type": "text", "text": "2"}]),
    "no usage": shaped(usage={"completion_tokens": None}),
    "odd usage": shaped(usage=[3]),
    "no model": shaped(model=None),
    "odd fingerprint": shaped(system_fingerprint=17),
    "half a fingerprint": shaped(system_fingerprint="a\ud800"),
    "old logprobs": shaped(
        choices=[{"message": {"content": "42"}, "finish_reason": "stop", "logprobs": ["x"]}]
    ),
    "NaN": saying("42", float("nan")),
    "-Infinity": saying("42", float("-inf")),
    "positive": saying("42", 0.25),
    "no number": saying("42", None),
    "beyond floats": saying("42", -(10**400)),
    "a little above 0": saying("42", 1e-7),
    "too many tokens": shaped(usage={"completion_tokens": 2**33}),
    "a few more tokens": shaped(usage={"completion_tokens": 34}),
    "a prompt too long": shaped(usage={"prompt_tokens": 4090, "completion_tokens": 1}),
    "an error inside": json.dumps({"error": {"message": "quota exceeded"}}).encode(),
    "no choices": shaped(choices=[]),
    "deep": b"[" * 100_000,
    "a number as content": saying(42),
    "nothing": b"",
}


def completion(
    body: dict[str, Any], *, logprobs: bool = True, finish_reason: str = "stop", content: str | None = ""
) -> dict[str, Any]:
    tokens = [{"token": "a", "logprob": -0.25}, {"token": "b", "logprob": -0.5}]
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": f"seed {body.get('seed')}" if content == "" else content},
        "finish_reason": finish_reason,
        "logprobs": {"content": tokens} if logprobs and "logprobs" in body else None,
    }
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    return {"id": "1", "model": "served", "system_fingerprint": "fp", "choices": [choice], "usage": usage}


@contextlib.contextmanager
def served() -> Iterator[Endpoint]:
    """Serve for the block."""
    with Endpoint() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def chain_request(prompt: str, *, index: int = 0, **changes: Any) -> ChainRequest:
    """Return a request for one chain."""
    messages = (Message(role="system", content="Be brief."), Message(role="user", content=prompt))
    fields = {"seed": 7, "temperature": 0.6, "max_tokens": 32, **changes}
    return ChainRequest(index=index, messages=messages, **fields)
