"""Files of documents: JSON lines of several, or a text that is one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from worker.errors import SubmissionError
from worker.submission.lines import MAX_ID_CHARS, ReferenceDocument
from worker.submission.problems import LineProblem
from worker.submission.validation import LineValidator, ValidLine

JSON_LINES = (".jsonl", ".ndjson")
MAX_TITLE_CHARS = 200

_HEADING = re.compile(r"\A\s*#{1,6}[^\S\n]+([^\n]+)")


def read_all(paths: Sequence[Path], *, max_bytes: int) -> Iterator[ReferenceDocument | LineProblem]:
    """Yield the documents of all files, or what is wrong; an id that an earlier file gave is wrong, too.

    Raises:
        SubmissionError: As for ``read_documents``.
    """
    first: dict[str, int] = {}
    for number, path in enumerate(paths):
        for found in read_documents(path, max_bytes=max_bytes):
            if isinstance(found, ReferenceDocument) and first.setdefault(found.id, number) != number:
                problem = f'"{found.id[:80]}" stands in {paths[first[found.id]].name} already'
                yield _problem(
                    path, "duplicate_id", problem, "give every document an id of its own", field="id"
                )
            else:
                yield found


def read_documents(path: Path, *, max_bytes: int) -> Iterator[ReferenceDocument | LineProblem]:
    """Yield the documents of one file, or what is wrong with a line of it.

    ``.jsonl`` and ``.ndjson`` hold a document a line; any other file is one document, whose id is its path as given
    and whose title is the Markdown heading it begins with, if it does.

    Args:
        path: The file.
        max_bytes: Of a line, and of a text file.

    Raises:
        SubmissionError: The file cannot be opened.
    """
    try:
        stream = path.open("rb")
    except OSError as error:
        raise SubmissionError(f"cannot read {path}: {error.strerror}") from error
    with stream:
        if path.suffix.lower() in JSON_LINES:
            lines = LineValidator(ReferenceDocument, file=path.name, max_line_bytes=max_bytes, id_field="id")
            for result in lines.validate(stream):
                yield result.line if isinstance(result, ValidLine) else result
        else:
            yield _text_document(path, stream.read(max_bytes + 1), max_bytes=max_bytes)


def _text_document(path: Path, content: bytes, *, max_bytes: int) -> ReferenceDocument | LineProblem:
    if len(content) > max_bytes:
        limit = f"is longer than {max_bytes / (1 << 20):g} MiB"
        return _problem(path, "too_long", limit, "split it, or raise MERGEREASONER_MAX_LINE_BYTES")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return _problem(
            path, "invalid_utf8", f"is not UTF-8 (byte {error.start + 1})", "save it as UTF-8 text"
        )
    if not text.strip():
        return _problem(path, "empty", "holds no text", "leave it out")
    identifier = path.as_posix()
    if len(identifier) > MAX_ID_CHARS:
        limit = f"has a path of more than {MAX_ID_CHARS} characters"
        return _problem(
            path, "invalid_value", limit, "name it from a nearer folder, since the path is its id"
        )
    heading = _HEADING.match(text)
    title = heading.group(1).strip()[:MAX_TITLE_CHARS] if heading else ""
    return ReferenceDocument(id=identifier, text=text, title=title)


def _problem(path: Path, code: str, problem: str, fix: str, *, field: str = "-") -> LineProblem:
    where = path.as_posix()[:MAX_ID_CHARS]
    return LineProblem(
        file=path.name, line=1, field=field, code=code, problem=problem, fix=fix, custom_id=where
    )
