"""Each line judged by itself: a parsed line, or what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from worker.submission.problems import LineProblem, explain
from worker.submission.reader import RawLine, read_lines
from worker.submission.repeated import name_marks, repeated_name
from worker.submission.seen import SeenIds

LineT = TypeVar("LineT", bound=BaseModel)

ESCAPED_NUL = b"\\u0000"


@dataclass(frozen=True, slots=True)
class ValidLine(Generic[LineT]):
    """A line that can be used."""

    number: int
    line: LineT


class LineValidator(Generic[LineT]):
    """Judges the lines of one file; remembers the ids it saw when a repeated one is an error."""

    def __init__(
        self,
        model: type[LineT],
        *,
        file: str,
        max_line_bytes: int,
        id_field: str = "custom_id",
        unique: bool = True,
    ) -> None:
        self._model = model
        self._file = file
        self._max_line_bytes = max_line_bytes
        self._id_field = id_field
        self._unique = unique
        self._marks = name_marks(model)
        self._seen = SeenIds()

    def validate(self, stream: BinaryIO) -> Iterator[ValidLine[LineT] | LineProblem]:
        """Yield one result per line that is not blank, in file order."""
        try:
            for raw in read_lines(stream, max_line_bytes=self._max_line_bytes):
                yield self._judge(raw)
        finally:
            self._seen.close()

    def _judge(self, raw: RawLine) -> ValidLine[LineT] | LineProblem:
        if raw.too_long:
            limit_mib = self._max_line_bytes / (1 << 20)
            return self._problem(
                raw,
                "-",
                "line_too_long",
                f"is longer than {limit_mib:g} MiB",
                "shorten it, or raise MERGEREASONER_MAX_LINE_BYTES",
            )
        try:
            raw.content.decode()
        except UnicodeDecodeError as error:
            return self._problem(
                raw,
                "-",
                "invalid_utf8",
                f"is not UTF-8 (byte {error.start + 1} is 0x{raw.content[error.start]:02x})",
                "save the file as UTF-8",
            )
        if ESCAPED_NUL in raw.content and not _only_in_escaped_backslashes(raw.content):
            return self._problem(
                raw, "-", "nul_character", "holds the character U+0000", "remove it; it cannot be stored"
            )
        try:
            line = self._model.model_validate_json(raw.content)
        except ValidationError as error:
            return self._problem(raw, *explain(error, self._model))
        repeated = repeated_name(raw.content, self._marks)
        if repeated is not None:
            return self._problem(
                raw, repeated, "duplicate_field", "stands there twice", "leave one of the two out"
            )
        return self._unless_repeated(raw, line)

    def _unless_repeated(self, raw: RawLine, line: LineT) -> ValidLine[LineT] | LineProblem:
        if not self._unique:
            return ValidLine(raw.number, line)
        identifier = str(getattr(line, self._id_field))
        first = self._seen.first(identifier, raw.number)
        if first == raw.number:
            return ValidLine(raw.number, line)
        return self._problem(
            raw,
            self._id_field,
            "duplicate_id",
            f'"{identifier[:80]}" stands on line {first} already',
            "give every line of a file an id of its own",
        )

    def _problem(self, raw: RawLine, field: str, code: str, problem: str, fix: str) -> LineProblem:
        return LineProblem(
            file=self._file,
            line=raw.number,
            field=field,
            code=code,
            problem=problem,
            fix=fix,
            custom_id=None if raw.too_long else _identifier(raw.content, self._id_field),
        )


def _only_in_escaped_backslashes(content: bytes) -> bool:
    r"""Return whether every ``\u0000`` is the tail of an escaped backslash (the text \\u0000, not the character)."""
    return ESCAPED_NUL not in content.replace(b"\\\\", b"")


class _AnyId(BaseModel):
    custom_id: str | int | None = None
    id: str | int | None = None


def _identifier(content: bytes, id_field: str) -> str | None:
    """Return the id of a line that is wrong elsewhere, so that its author finds it; ``None`` when it has none."""
    try:
        found = getattr(_AnyId.model_validate_json(content), id_field)
    except ValidationError:
        return None
    return str(found)[:200] if found is not None else None
