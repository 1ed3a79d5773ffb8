"""The process under test: runs the program and answers the judge's requests about it.

Everything in here shares its process with a hostile program, which may change any of it. That is fine: it sees
arguments and never expected values, and what it answers is only ever taken as the program's own word.
"""

from __future__ import annotations

import importlib
import operator
import os
import sys
import types
from collections.abc import Callable
from typing import Any

from verifiers.sandbox.inside import wire
from verifiers.sandbox.inside.codec import CodecError, Decoder, Encoder, Node, Value, refuse_node, safe_name
from verifiers.sandbox.inside.confine import confine

MAX_HANDLES = 50_000
MAX_TEXT = 200_000  # characters of a str() or repr() asked for by the tests

# What an object can do, told to the judge as letters, so that its stand-in there can do the same and no more.
CAPABILITIES: dict[str, tuple[str, ...]] = {
    "c": ("__call__",),
    "i": ("__iter__", "__getitem__"),
    "n": ("__next__",),
    "l": ("__len__",),
    "g": ("__getitem__",),
    "s": ("__setitem__",),
    "d": ("__delitem__",),
    "b": ("__bool__",),
    "w": ("__enter__", "__exit__"),
    "r": ("__reversed__",),
    "a": ("__abs__",),
    "m": ("__neg__",),
    "x": ("__index__",),
    "f": ("__float__", "__index__"),
    "t": ("__int__", "__index__", "__trunc__"),
    "u": ("__round__",),
}
_FORWARD = (
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "and",
    "or",
    "xor",
    "lshift",
    "rshift",
    "matmul",
)
OPERATORS = ("lt", "le", "gt", "ge", "iadd", "isub", "imul", *_FORWARD, *(f"r{name}" for name in _FORWARD))


class Judged:
    """One program, and the objects of it that the judge knows by handle."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._number = 0  # of the request that is being answered
        self.module = types.ModuleType("solution")
        self._handles: list[Any] = []
        self._handle_of: dict[int, int] = {}
        self._n_callbacks = 0
        self._kept: list[Any] = []  # what is printed while it is captured

    def serve(self) -> None:
        """Answer requests until the judge goes away."""
        try:
            while True:
                self._answer(wire.receive(self._fd))
        except wire.PeerGoneError:
            self._flush()

    def _answer(self, request: Node) -> None:
        number, name, *arguments = request
        self._number = number
        try:
            reply = [number, "ok", *self._operations[name](self, *arguments)]
        except StopIteration:
            reply = [number, "stop"]
        except CodecError as error:
            reply = [number, "unwritable", str(error)]
        except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
            reply = [number, "exit", type(error).__name__]
        except BaseException as error:  # noqa: BLE001 - whatever the program raises is an answer
            reply = [number, "raised", *self._raised(error)]
        try:
            wire.send(self._fd, reply)
        except wire.MalformedFrameError as error:
            wire.send(self._fd, [number, "unwritable", str(error)])

    def _raised(self, error: BaseException) -> list[Any]:
        try:
            message = str(error)[:MAX_TEXT]
        except BaseException:  # noqa: BLE001 - a hostile __str__
            message = ""
        return [self._class_node(type(error)), message]

    # Objects that stay here

    def _opaque(self, value: Value) -> Value:
        if isinstance(value, type) and issubclass(value, BaseException):
            return self._class_node(value)
        if isinstance(value, type) and value.__module__ == "builtins":
            return ["B!", value.__name__]
        if isinstance(value, types.CoroutineType):
            return ["co", self._handle(value)]
        kind = type(value)
        letters = [
            letter for letter, names in CAPABILITIES.items() if any(hasattr(kind, name) for name in names)
        ]
        if getattr(kind, "__eq__", None) is not object.__eq__:  # a metaclass may have none of the usual ones
            letters.append("=")
        if kind.__hash__ is None:
            letters.append("#")
        operators = [name for name in OPERATORS if hasattr(kind, f"__{name}__")]
        operators = [
            n for n in operators if getattr(kind, f"__{n}__") is not getattr(object, f"__{n}__", None)
        ]
        if isinstance(value, type):
            letters.append("k")
        return [
            "p",
            self._handle(value),
            safe_name(getattr(kind, "__name__", "")),
            "".join(letters),
            operators,
        ]

    def _handle(self, value: Value) -> int:
        handle = self._handle_of.get(id(value))
        if handle is None:
            if len(self._handles) >= MAX_HANDLES:
                raise CodecError("too many objects that are not plain data")
            handle = self._handle_of[id(value)] = len(self._handles)
            self._handles.append(value)
        return handle

    def _class_node(self, kind: type[BaseException]) -> Value:
        """Write an exception class as its own part of the family tree, then the first builtin one."""
        own: list[Any] = []
        for ancestor in kind.__mro__:
            if ancestor.__module__ == "builtins":
                return ["X", own, ancestor.__name__]
            if issubclass(ancestor, BaseException):
                own.append([self._handle(ancestor), safe_name(ancestor.__name__)])
        return ["X", own, "Exception"]

    def _decode_opaque(self, node: list[Any]) -> Value:
        if node[0] == "h":
            return self._handles[node[1]]
        if node[0] == "fn":
            return getattr(importlib.import_module(node[1]), node[2])
        if node[0] == "cb":
            return self._callback(node[1])
        if node[0] == "it":
            return iter([self._decode(item) for item in node[1]])
        return refuse_node(node)

    def _callback(self, place: int) -> Callable[..., Any]:
        def call_the_judge(*args: Node) -> Value:
            self._n_callbacks += 1
            number = self._n_callbacks
            encoder = Encoder(self._opaque)
            wire.send(self._fd, [number, "callback", place, [encoder.encode(arg) for arg in args]])
            while True:
                message = wire.receive(self._fd)
                if message[1] == "returned":
                    return self._decode(message[2])
                if message[1] == "failed":
                    raise RuntimeError("the tests' own function failed")
                self._answer(message)

        return call_the_judge

    def _decode(self, node: Node) -> Value:
        return Decoder(self._decode_opaque).decode(node)

    def _encode(self, value: Value) -> list[Any]:
        return [Encoder(self._opaque).encode(value)]

    # Requests

    def files(self, files: dict[str, str]) -> list[Any]:
        """Write the program's other files to the scratch folder and make them importable."""
        for path, text in files.items():
            folder = os.path.dirname(path)  # noqa: PTH120 - pathlib is slow to import
            if folder:
                os.makedirs(folder, exist_ok=True)  # noqa: PTH103
            with open(path, "w", encoding="utf-8", errors="surrogatepass") as file:  # noqa: PTH123
                file.write(text)
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
        return [None]

    def load(self, program: str, seed: int | None) -> list[Any]:
        """Run the program's top level."""
        sys.modules["solution"] = self.module
        if seed is not None:
            importlib.import_module("random").seed(seed)
        exec(compile(program, "solution.py", "exec"), self.module.__dict__)  # noqa: S102 - this is what a sandbox is for
        return [None]

    def _inner(self, job: dict[str, Any]) -> list[Any]:
        """Run the tests here, in the program's own process."""
        return [importlib.import_module("verifiers.sandbox.inside.inner").run(self, self._fd, job)]

    def _become_node(self, seed: int) -> list[Any]:
        """Answer, then become the same thing in another language; nothing of the program has run yet."""
        wire.send(self._fd, [self._number, "ok", None])
        importlib.import_module("verifiers.sandbox.inside.node").become_judged(self._fd, seed)
        return []

    def _script(self, program: str, stdin: str, language: str) -> list[Any]:
        run_script = importlib.import_module(
            "verifiers.sandbox.inside.script"
        ).run_script  # few claims need it
        status, cpu_s, printed = run_script(program, stdin, self._fd, language)
        return [status, cpu_s, *self._encode(printed)]

    def printed(self, capture: bool) -> list[Any]:  # noqa: FBT001 - a field of a message
        """Return what was printed since it is kept here, and keep it from now on or not."""
        texts = [stream.getvalue() for stream in self._kept] or ["", ""]
        self._kept = []
        if capture:
            make = importlib.import_module("io").StringIO
            self._kept = [make(), make()]
        sys.stdout, sys.stderr = self._kept or (sys.__stdout__, sys.__stderr__)
        return texts

    def functions(self) -> list[Any]:
        """Return the names of the functions that the program defines."""
        own = self.module.__dict__.items()
        return [
            [name for name, value in own if isinstance(value, types.FunctionType) and name == value.__name__]
        ]

    def _get(self, name: str, module: str) -> list[Any]:
        own = self.module if module == "solution" else importlib.import_module(module)
        namespace = own.__dict__
        return [True, *self._encode(namespace[name])] if name in namespace else [False, None]

    def _call(self, target: int, table: Node, args: Node, kwargs: Node) -> list[Any]:
        decoder = Decoder(self._decode_opaque)
        known = decoder.table(table)
        values = [decoder.decode(arg) for arg in args]
        named = {key: decoder.decode(value) for key, value in kwargs.items()}
        try:
            result = self._handles[target](*values, **named)
        finally:
            self._flush()
        encoder = Encoder(self._opaque, numbers={id(thing): number for number, thing in enumerate(known)})
        changes = []
        for number, thing in enumerate(known):
            now = encoder.contents(thing)
            if now != table[number]:
                changes.append([number, now])
        return [encoder.encode(result), changes]

    def _text(self, handle: int, kind: str) -> list[Any]:
        text = (str if kind == "str" else repr)(self._handles[handle])
        return [text[:MAX_TEXT]]

    def _binary(self, name: str, left: int, right: int) -> list[Any]:
        result = getattr(operator, f"__{name}__")(self._handles[left], self._handles[right])
        return self._encode(result)

    def _seed(self) -> list[Any]:
        if "random" in sys.modules:
            sys.modules["random"].seed(0)
        return [None]

    def _flush(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except BaseException:  # noqa: BLE001, S112 - the program may have replaced or closed it
                continue

    def _one(function: Callable[[Any], Any]) -> Callable[[Judged, int], list[Any]]:  # type: ignore[misc] # noqa: N805
        return lambda self, handle: self._encode(function(self._handles[handle]))

    _operations: dict[str, Callable[..., list[Any]]] = {  # noqa: RUF012 - a table to read, never changed
        "load": load,
        "files": files,
        "functions": functions,
        "get": _get,
        "call": _call,
        "str": lambda self, handle: self._text(handle, "str"),
        "repr": lambda self, handle: self._text(handle, "repr"),
        "attr": lambda self, handle, name: self._encode(getattr(self._handles[handle], name)),
        "set attr": lambda self, handle, name, node: [
            operator.call(setattr, self._handles[handle], name, self._decode(node))
        ],
        "del attr": lambda self, handle, name: [operator.call(delattr, self._handles[handle], name)],
        "item": lambda self, handle, key: self._encode(self._handles[handle][self._decode(key)]),
        "set item": lambda self, handle, key, node: [
            operator.setitem(self._handles[handle], self._decode(key), self._decode(node))
        ],
        "del item": lambda self, handle, key: [operator.delitem(self._handles[handle], self._decode(key))],
        "len": _one(len),
        "bool": _one(bool),
        "hash": _one(hash),
        "iter": _one(iter),
        "next": _one(next),
        "reversed": _one(reversed),
        "abs": _one(abs),
        "neg": _one(operator.neg),
        "index": _one(operator.index),
        "int": _one(int),
        "float": _one(float),
        "enter": _one(lambda context: context.__enter__()),
        "leave": _one(lambda context: context.__exit__(None, None, None)),
        "round": lambda self, handle, digits: self._encode(round(self._handles[handle], digits)),
        "binary": _binary,
        "is instance": lambda self, handle, kind: [isinstance(self._handles[handle], self._handles[kind])],
        "is subclass": lambda self, handle, kind: [issubclass(self._handles[handle], self._handles[kind])],
        "await": lambda self, handle: self._encode(
            importlib.import_module("asyncio").run(self._handles[handle])
        ),
        "become node": _become_node,
        "inner": _inner,
        "script": _script,
        "printed": printed,
        "seed": _seed,
    }


def main(fd: int, *limits: int) -> None:
    """Confine this process and serve the judge at ``fd``."""
    confine({fd}, limits)
    Judged(fd).serve()
    os._exit(0)  # threads and exit handlers of the program are nobody's business any more
