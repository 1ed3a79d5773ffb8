"""What is wrong with a line, said so that its author can mend it."""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import BaseModel, ValidationError


@dataclass(frozen=True, slots=True, kw_only=True)
class LineProblem:
    """One problem of one line of a submitted file."""

    file: str
    line: int
    """From 1, as editors count."""

    field: str
    """Dotted path of the field, e.g. ``options.k``; ``-`` when the line as a whole is at fault."""

    code: str
    """Stable word for programs, e.g. ``unknown_field``."""

    problem: str
    fix: str
    custom_id: str | None = None

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}"
        field = "" if self.field == "-" else f" {self.field}:"
        return f"{where}:{field} {self.problem}. Fix: {self.fix}."

    def to_json(self) -> dict[str, Any]:
        """Return the line of the error file."""
        return asdict(self)


FIXES = {
    "missing": ("missing_field", "is missing", "add it"),
    "string_type": ("wrong_type", "must be a string", 'write it in quotes, e.g. "17"'),
    "int_type": ("wrong_type", "must be a whole number", "write it without quotes, e.g. 8"),
    "float_type": ("wrong_type", "must be a number", "write it without quotes, e.g. 0.5"),
    "list_type": ("wrong_type", "must be a list", "write it in [ ]"),
    "dict_type": ("wrong_type", "must be an object", "write it in { }"),
    "model_type": ("wrong_type", "must be an object", "write it in { }"),
    "model_attributes_type": ("wrong_type", "must be an object", "write it in { }"),
}


A_TIME = 'write it with its offset from UTC, e.g. "2026-05-03T10:00Z"'
AN_ID = 'write it as it was told, e.g. "019ac622-e828-70fe-8180-dc3dcf4d062d"'

HINTS = {
    "too_short": "give at least one, or leave it out",
    "string_too_short": "give a character at least, or leave it out",
    "timezone_aware": A_TIME,
    "datetime_type": A_TIME,
    "datetime_parsing": A_TIME,
    "datetime_from_date_parsing": A_TIME,
    "datetime_object_invalid": A_TIME,
    "uuid_type": AN_ID,
    "uuid_parsing": AN_ID,
}
"""Of values that have the right type."""


# Pydantic names the member of a union it tried; to an author that is noise within the path.
UNION_TAGS = {"str", "constrained-str", "int", "float", "list[str]", "code", "entailment", "facts", "math"}


def explain(error: ValidationError, model: type[BaseModel]) -> tuple[str, str, str, str]:
    """Return field, code, problem and fix of the first thing pydantic found wrong."""
    first = error.errors(include_url=False, include_input=True)[0]
    kind, context = first["type"], first.get("ctx", {})
    path = [part for part in first["loc"] if part not in UNION_TAGS or isinstance(part, int)]
    field = ".".join(str(part) for part in path) or "-"
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(path[-1]), _field_names(model), n=1)
        hint = f'did you mean "{near[0]}"? Otherwise remove it' if near else "remove it"
        return field, "unknown_field", "is not a known field", hint
    if kind == "value_error":
        problem, _, fix = str(context["error"]).partition(": ")
        return field, "invalid_value", problem, fix or problem
    if kind == "json_invalid":
        problem = str(context["error"]).replace(" at line 1 column", ", at column")
        fix = "nest it less deeply" if "recursion" in problem else "write one JSON object per line"
        return "-", "invalid_json", f"is not valid JSON ({problem})", fix
    if kind == "union_tag_not_found":
        return (
            field,
            "missing_field",
            "has no verifier",
            'add "verifier": "code", "entailment", "facts" or "math"',
        )
    if kind == "union_tag_invalid":
        known = str(context["expected_tags"]).replace("'", '"')
        return field, "invalid_value", f'knows no verifier "{context["tag"]}"', f"use one of {known}"
    if field == "label":
        return field, "wrong_type", "has the wrong type", "give a string, a number or a list of strings"
    if kind in FIXES:
        return field, *FIXES[kind]
    message = first["msg"][0].lower() + first["msg"][1:]
    shown = repr(first["input"])
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return field, "invalid_value", f"is {shown}", HINTS.get(kind) or message.removeprefix("input ")


def _field_names(model: type[BaseModel]) -> list[str]:
    names: list[str] = []
    for name, info in model.model_fields.items():
        names.append(info.alias or name)
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            names.extend(_field_names(info.annotation))
    return names
