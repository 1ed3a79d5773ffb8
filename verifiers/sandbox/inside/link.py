"""The judge's end of the pipe to the program: requests out, plain data back, every answer doubted."""

from __future__ import annotations

import builtins
import types
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from verifiers.sandbox.inside import wire
from verifiers.sandbox.inside.codec import (
    CodecError,
    Decoder,
    Encoder,
    Node,
    Value,
    refuse_node,
    refuse_opaque,
    safe_name,
)
from verifiers.sandbox.inside.proxies import Proxy, make_proxy

MAX_REQUESTS = 200_000
MAX_NESTING = 20  # judge calls program calls judge calls ...
MAX_ITEMS = 100_000  # of an iterator that the tests hand to the program
_UNMAKEABLE = (
    ExceptionGroup,
    UnicodeDecodeError,
    UnicodeEncodeError,
    UnicodeTranslateError,
)  # from a message alone
_CALLABLE_BUILTINS = (types.BuiltinFunctionType, type)


class ProgramFatal(BaseException):
    """Raised through the tests when nothing more can be asked of the program."""

    def __init__(self, reason: str, kind: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.kind = kind


class UnsupportedTestError(BaseException):  # not an Exception: tests must not catch it either
    """Raised through the tests when they need something that cannot cross to the program."""

    def __init__(self, why: str, *, inside: bool = False) -> None:
        super().__init__(why)
        self.inside = inside
        """Whether the tests could be run in the program's own process, whatever the program does."""


class Link:
    """Asks the judged process, one request at a time."""

    def __init__(self, fd: int, *, on_first_call: Callable[[], None]) -> None:
        self.fatal: ProgramFatal | None = None
        self.unsupported: UnsupportedTestError | None = None
        self.last_raised: BaseException | None = None
        """The exception of the program that the tests were given last."""
        self.n_uses = 0
        """How often the tests used the program."""
        self.n_requests = 0
        """How often anything was asked of the program's process."""
        self.n_trusted = 0
        """How often the program's own comparison was believed."""
        self._fd = fd
        self._on_first_call = on_first_call
        self._nesting = 0
        self._proxies: dict[int, Any] = {}
        self._classes: dict[int, type[BaseException]] = {}
        self._callbacks: list[Callable[..., Any]] = []

    # What the tests do with it

    def call(self, proxy: Proxy, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Value:
        """Call the object behind ``proxy``; arguments it changed in place are changed here too."""
        self._count_use()
        encoder = Encoder(self._outgoing, collect=True)
        try:
            nodes = [encoder.encode(arg) for arg in args]
            named = {key: encoder.encode(value) for key, value in kwargs.items()}
        except CodecError as error:
            raise self._refuse(str(error)) from error
        request = ["call", proxy.handle, encoder.table, nodes, named]
        result, changes = self._request(request, n_fields=2)
        decoder = Decoder(self._incoming, objects=encoder.objects)
        try:
            for number, node in changes:
                decoder.refill(encoder.objects[number], node)
            return decoder.decode(result)
        except (CodecError, TypeError, ValueError, LookupError) as error:
            raise self._violated(f"sent {error}") from error

    def _count_use(self) -> None:
        if not self.n_uses:
            self._on_first_call()
        self.n_uses += 1

    def get(self, name: str, module: str = "solution") -> tuple[bool, Any]:
        """Return whether the program, or another file of it, has a global of that name, and its value."""
        found, node = self._request(["get", name, module], n_fields=2)
        return found is True, self._decode(node)

    def value(self, operation: str, *arguments: Value) -> Value:
        """Return the value that one operation on an object of the program gives."""
        self.n_uses += 1
        (node,) = self._request([operation, *arguments], n_fields=1)
        return self._decode(node)

    def exactly(self, kind: type, operation: str, *arguments: Value) -> Value:
        """Return what ``value`` does, if it is exactly of that type.

        Raises:
            TypeError: It is not, as when a ``__len__`` gives no int.
        """
        answer = self.value(operation, *arguments)
        if type(answer) is not kind:
            raise TypeError(f"the program's {operation} gave no {kind.__name__}")
        return answer

    def node(self, value: Value) -> Value:
        """Write a value that the tests send outside a call."""
        try:
            return Encoder(self._outgoing).encode(value)
        except CodecError as error:
            raise self._refuse(str(error)) from error

    def load(self, program: str, *, seed: int | None) -> None:
        """Run the program's top level, the random numbers seeded first if a seed is given."""
        self._request(["load", program, seed], n_fields=1)

    def run_script(self, program: str, stdin: str, language: str) -> tuple[int, float, bytes]:
        """Run the program as a script; return its exit code or minus the signal, its CPU seconds, its output."""
        self._count_use()
        status, cpu_s, node = self._request(["script", program, stdin, language], n_fields=3)
        printed = self._decode(node)
        if type(status) is not int or type(cpu_s) is not float or type(printed) is not bytes:
            raise self._violated("sent an ill-formed reply")
        return status, cpu_s, printed

    def printed(self, *, capture: bool) -> tuple[str, str]:
        """Return what the program printed while it was captured, to both outputs, and capture from now on or not."""
        out, err = self._request(["printed", capture], n_fields=2)
        if type(out) is not str or type(err) is not str:
            raise self._violated("sent an ill-formed reply")
        return out, err

    def functions(self) -> list[str]:
        """Return the names of the functions that the program defines."""
        (names,) = self._request(["functions"], n_fields=1)
        return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []

    def prepare(self, operation: str, *arguments: Value) -> None:
        """Ask for something that has no value."""
        self._request([operation, *arguments], n_fields=1)

    # Requests and replies

    def _request(self, request: list[Any], *, n_fields: int) -> list[Any]:
        if self.fatal is not None:
            raise self.fatal
        self.n_requests += 1
        number = self.n_requests
        if number > MAX_REQUESTS:
            raise self._stop(
                f"was asked for more than {MAX_REQUESTS} things, as by an endless iterator", "messages"
            )
        try:
            wire.send(self._fd, [number, *request])
        except wire.PeerGoneError:
            raise self._gone() from None
        except wire.MalformedFrameError as error:
            raise self._refuse(str(error)) from error
        return self._reply(number, n_fields)

    def _reply(self, number: int, n_fields: int) -> list[Any]:
        try:
            while True:
                reply = wire.receive(self._fd)
                if not isinstance(reply, list) or len(reply) < 2:
                    raise self._violated("sent an ill-formed reply")
                if reply[1] != "callback":
                    return self._understand(reply, number, n_fields)
                self._called_back(reply)
        except wire.PeerGoneError:
            raise self._gone() from None
        except wire.MalformedFrameError as error:
            raise self._violated(f"sent {error}") from error

    def _understand(self, reply: list[Any], number: int, n_fields: int) -> list[Any]:
        if reply[0] != number:
            raise self._violated("answered something that was not asked")
        match reply[1:]:
            case ["ok", *fields] if len(fields) == n_fields:
                return fields
            case ["stop"]:
                raise StopIteration
            case ["unwritable", str(why)]:
                raise self._stop(f"returned {why[:200]}", "value")
            case ["exit", str(name)]:
                raise self._stop(f"raised {safe_name(name)}", "exit")
            case ["raised", ["X", list(own), str(builtin)], str(message)]:
                self.last_raised = _with_text(self._exception_class(own, builtin), message)
                raise self.last_raised
            case _:
                raise self._violated("sent an ill-formed reply")

    def _called_back(self, message: list[Any]) -> None:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise self._stop("called back and forth too deeply", "recursion")
        match message[2:]:
            case [int(place), list(args)] if 0 <= place < len(self._callbacks):
                pass
            case _:
                raise self._violated("called something that it was not given")
        try:
            result = self._callbacks[place](*[self._decode(arg) for arg in args])
            reply = [message[0], "returned", self.node(result)]
        except AssertionError:  # it must not depend on what the program makes of it
            raise self._stop(
                "made an assertion fail in a function of the tests that it was given", "callback"
            ) from None
        except Exception:  # noqa: BLE001 - a function of the tests, called with the program's arguments
            reply = [message[0], "failed"]
        wire.send(self._fd, reply)
        self._nesting -= 1

    def _stop(self, reason: str, kind: str) -> ProgramFatal:
        """Return the exception that ends it; nothing will be asked of the program again."""
        self.fatal = ProgramFatal(reason, kind)
        return self.fatal

    def _gone(self) -> ProgramFatal:
        return self._stop("ended before it had answered", "gone")

    def _violated(self, what: str) -> ProgramFatal:
        return self._stop(what, "protocol")

    def _refuse(self, why: str) -> UnsupportedTestError:
        self.unsupported = UnsupportedTestError(f"the tests hand {why} to the program", inside=True)
        return self.unsupported

    def cannot_judge(self, name: str) -> UnsupportedTestError:
        """Return the exception for tests that compute with, or order, an object of the program and a plain value."""
        self.unsupported = UnsupportedTestError(
            f"the program gave a {name} object of its own, and only it could say what that and a plain value give"
        )
        return self.unsupported

    def cannot(self, why: str, *, inside: bool = False) -> UnsupportedTestError:
        """Return the exception for tests that need what cannot be had here, but perhaps inside the program."""
        self.unsupported = UnsupportedTestError(why, inside=inside)
        return self.unsupported

    # Values

    def _decode(self, node: Node) -> Value:
        try:
            return Decoder(self._incoming).decode(node)
        except CodecError as error:
            raise self._violated(f"sent {error}") from error

    def _incoming(self, node: list[Any]) -> Value:
        match node:
            case ["p", int(handle), str(name), str(letters), list(operators)]:
                known = self._proxies.get(handle)
                if known is None:
                    known = self._proxies[handle] = make_proxy(
                        self, handle, safe_name(name), letters, operators
                    )
                return known
            case ["co", int(handle)]:
                return self._coroutine(handle)
            case ["X", list(own), str(builtin)]:
                return self._exception_class(own, builtin)
            case ["B!", str(name)]:
                kind = getattr(builtins, name, None)
                if isinstance(kind, type):
                    return kind
        return refuse_node(node)

    async def _coroutine(self, handle: int) -> Value:
        """Stand for a coroutine of the program, which runs over there when this one is awaited."""
        return self.value("await", handle)

    def _outgoing(self, value: Value) -> Value:
        if isinstance(value, Proxy):
            return ["h", value.handle]
        if isinstance(value, _CALLABLE_BUILTINS) and value.__module__ not in {None, "__main__"}:
            return ["fn", value.__module__, value.__qualname__]
        if isinstance(value, types.FunctionType | types.MethodType):
            self._callbacks.append(value)
            return ["cb", len(self._callbacks) - 1]
        if isinstance(value, Iterator):
            items = [item for _, item in zip(range(MAX_ITEMS), value, strict=False)]
            return ["it", [self.node(item) for item in items]]
        return refuse_opaque(value)

    def _exception_class(self, own: list[Any], builtin: str) -> type[BaseException]:
        """Return the stand-in for an exception class of the program: a real one, with the builtin it derives from."""
        base = getattr(builtins, builtin, None)
        kind: type[BaseException] = Exception
        if isinstance(base, type) and issubclass(base, Exception) and base not in _UNMAKEABLE:
            kind = base
        for entry in reversed(own[:20]):
            match entry:
                case [int(handle), str(name)]:
                    if handle not in self._classes:
                        self._classes[handle] = type(
                            safe_name(name),
                            (kind,),
                            {"__getattr__": lambda _, wanted: self._attribute_of_an_exception(wanted)},
                        )
                    kind = self._classes[handle]
                case _:
                    raise self._violated("sent an ill-formed exception")
        return kind

    def _attribute_of_an_exception(self, name: str) -> NoReturn:
        """Stand for whatever an exception of the program carries beside its text, which stays over there."""
        if name.startswith("__"):
            raise AttributeError(name)
        why = f"the tests look at .{name} of an exception of the program; only its text is known"
        raise self.cannot(why, inside=True)


def _with_text(kind: type[BaseException], text: str) -> BaseException:
    """Return an exception whose ``str`` is ``text``, also where the class would make another one of it: KeyError."""
    error = kind(text)
    if str(error) != text:
        error = type(kind.__name__, (kind,), {"__str__": lambda _: text})(text)
    return error
