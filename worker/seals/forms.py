"""What stands in place of texts that were redacted: of each group one form, which a verification knows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from worker.hashes.leaves import GROUPS, Row
from worker.store.texts import REDACTED

ANSWER = "{answer}"  # templates keep their place for it, or they would be none

TEXTS = frozenset({"prompt", "messages", "chains", "candidates", "label", "metadata", "verify"})
"""The places of a task line that may hold personal text."""

Json = Any


def is_redacted(row: Row, group: str) -> bool:
    """Return whether a row's text is one that a redaction leaves, whatever was there before."""
    try:
        return _has_form(row, group)
    except (ValueError, KeyError, TypeError, AttributeError):
        return False  # not even of the shape that the column has


def _has_form(row: Row, group: str) -> bool:
    fields, found = row.texts[0], json.loads(row.texts[GROUPS[row.kind].index(group)])
    match row.kind, group:
        case "task", "prompt":
            return bool(redacted_spec(found) == found) and _is_of(json.loads(fields), found)
        case "chain", "text":
            return bool(found == REDACTED)
        case "chain", "answer":
            return _is_redacted_answer(found)
        case "verdict", "evidence":
            return bool(found == {"reason": REDACTED, "evidence": {}})
        case "decision", "answers":
            marked = found["answer"] in (None, REDACTED) and set(found["clusters"]) <= {REDACTED}
            return bool(marked and without_answers(found["document"]) == found["document"])
        case "label", "answers":
            return found in ([], [REDACTED])
    return False


def _is_of(fields: Mapping[str, Json], spec: Mapping[str, Json]) -> bool:
    """Return whether what a task line says beside its texts is what the task's own fields say, which are sealed."""
    rest = {key: value for key, value in spec.items() if key not in TEXTS and value is not None}
    return all(key in fields and fields[key] == value for key, value in rest.items())


def _is_redacted_answer(found: Json) -> bool:
    """Of a chain: its answer, or an object of it with the explanations that it names; it may have had none."""
    if not isinstance(found, dict):
        return found in (None, REDACTED)
    named = {one["answer"] for one in found["explanations"] or ()}
    return found["answer"] in (None, REDACTED) and named <= {REDACTED}


def without_answers(value: Json) -> Json:
    """Return a decision's document with every answer replaced; its numbers stay."""
    if isinstance(value, dict):
        return {
            key: REDACTED if key == "answer" and isinstance(item, str) else without_answers(item)
            for key, item in value.items()
        }
    return [without_answers(item) for item in value] if isinstance(value, list) else value


def redacted_spec(spec: Mapping[str, Json]) -> dict[str, Json]:
    """Return a task line without personal text that still is a task line: the options stay."""
    gone: dict[str, Json] = {
        "prompt": REDACTED,
        "messages": [{**turn, "content": REDACTED} for turn in spec.get("messages") or []],
        "chains": [_redacted_chain(chain) for chain in spec.get("chains") or []],
        "candidates": [REDACTED for _ in spec.get("candidates") or []],
        "label": None,
        "metadata": {},
        "verify": [_redacted_verification(one) for one in spec.get("verify") or []],
    }
    return {key: gone[key] if key in gone and value is not None else value for key, value in spec.items()}


def _redacted_chain(chain: Mapping[str, Json]) -> dict[str, Json]:
    texts = {key: REDACTED for key in ("text", "answer") if chain.get(key) is not None}
    return {**chain, **texts}


def _redacted_verification(spec: Mapping[str, Json]) -> dict[str, Json]:
    gone: dict[str, Json] = {
        "tests": REDACTED,
        "known_good": REDACTED,
        "reference": REDACTED,
        "premise": REDACTED,
        "hypothesis": ANSWER,
        "statement": ANSWER,
        "conditions": [REDACTED],
        "unknowns": [],
        "files": {},
        "documents": [{"id": "1", "text": REDACTED, "title": "", "metadata": {}}],
    }
    return {key: gone[key] if key in gone and value is not None else value for key, value in spec.items()}
