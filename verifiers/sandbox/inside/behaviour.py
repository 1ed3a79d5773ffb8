"""What a program does with given inputs, as short texts that are equal when the behaviour is."""

from __future__ import annotations

import importlib
from typing import Any

from verifiers.sandbox.inside.codec import MAPPINGS, CodecError, Decoder, Encoder, Node, Value
from verifiers.sandbox.inside.link import Link, ProgramFatal, UnsupportedTestError
from verifiers.sandbox.inside.proxies import Proxy

MAX_TEXT = 60  # characters; a longer text is represented by its digest
MAX_YIELDED = 200  # items taken from a generator


def observe(link: Link, entry_point: str, inputs: list[Any]) -> list[str] | None:
    """Return one text per input: the result, ``!Name`` of the exception, or ``!limit`` and why nothing more came.

    Comes after the tests and can't change what they said. None when the program cannot be asked any more.
    """
    outputs: list[str] = []
    try:
        found, function = link.get(entry_point)
        if not found or not isinstance(function, Proxy):
            return None
    except BaseException:  # noqa: BLE001 - whatever a hostile program answers here, it has no behaviour
        return None
    for node in inputs:
        try:
            outputs.append(_output(link, function, node))
        except ProgramFatal as fatal:
            outputs.append(f"!{fatal.kind}")
            break
        except UnsupportedTestError:
            outputs.append("!unsupported")
    return outputs


def _output(link: Link, function: Value, node: Node) -> str:
    try:
        args = Decoder().decode(node)
        link.prepare("seed")
        return canonical(_plain(function(*args)))
    except Exception as error:  # noqa: BLE001 - an exception is a behaviour too
        return f"!{type(error).__name__}"


def _plain(value: Value) -> Value:
    """Return ``value``, or what its iterator yields, up to a bound."""
    if isinstance(value, Proxy) and hasattr(type(value), "__next__"):
        return ("yields", [item for _, item in zip(range(MAX_YIELDED), value, strict=False)])
    return value


def canonical(value: Value) -> str:
    """Return a short text that is the same for values that are equal (``==``), whatever their order or exact type."""
    try:
        text = _text(Encoder().encode(value))
    except CodecError:
        return f"?{type(value).__name__}"
    if len(text) <= MAX_TEXT:
        return text
    sha256 = importlib.import_module("hashlib").sha256  # costs 6 ms, and most results are short
    return f"#{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}"


def _text(node: Node) -> str:
    if isinstance(node, bool) or (isinstance(node, float) and node.is_integer() and abs(node) < 2**53):
        return repr(int(node))
    if not isinstance(node, list):
        return repr(node)
    items = node[-1] if isinstance(node[-1], list) else None
    if items is None:
        return f"({' '.join(_text(part) for part in node)})"
    if node[0] in MAPPINGS:
        return "{" + ",".join(sorted(f"{_text(key)}:{_text(item)}" for key, item in items)) + "}"
    parts = [_text(item) for item in items]
    if node[0] in {"s", "f"}:
        return "s{" + ",".join(sorted(parts)) + "}"
    return ("t" if node[0] == "T" else node[0]) + f"[{','.join(parts)}]"
