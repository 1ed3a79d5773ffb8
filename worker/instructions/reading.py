"""Instructions read from files: ours, or an operator's in their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from reasoner.decisions import Mode
from worker.errors import ConfigurationError
from worker.submission.lines import Kind, ProgramLanguage, TaskLine

OURS = Path(__file__).parent / "texts"
KINDS = (
    *get_args(Kind),
    *(f"code-{language}" for language in get_args(ProgramLanguage) if language != "python"),
)
SPREAD_LIST = "spread-list"
"""Mode of instructions for engines that can hold a chain to a list: all explanations at once, as JSON."""

MODES = (*get_args(Mode), SPREAD_LIST)
MAX_BYTES = 20_000  # a longer one leaves no room for the task in a small context


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One variant of what the model is told."""

    variant: str
    """Stands on every chain that was sampled with it."""

    text: str


Instructions = Mapping[tuple[str, str], tuple[Instruction, ...]]
"""The variants of each kind and mode, by the names of their files; always at least one."""


def read_instructions(folder: Path | None) -> Instructions:
    """Return ours, with those of ``folder`` in their place for each kind and mode that it has files for.

    A file is called ``<kind>.<mode>.<variant>.txt`` and holds plain text, used as the system message. Programs in
    another language than Python have a kind of their own here: ``code-javascript``. A folder that says how to ask for
    one explanation, ``<kind>.spread``, and not how to ask for a list, ``<kind>.spread-list``, is never asked for lists.

    Raises:
        ConfigurationError: There is no such folder, or a file of it has another name, is empty or too long.
    """
    found = _read(OURS)
    if folder is not None:
        if not folder.is_dir():
            raise ConfigurationError(f"MERGEREASONER_PROMPTS_DIR: there is no folder {folder}")
        theirs = _read(folder)
        for kind, mode in theirs:
            if mode == "spread":
                found.pop((kind, SPREAD_LIST), None)
        found |= theirs
    return found


def instructions_for(
    instructions: Instructions, line: TaskLine, *, listed: bool = False
) -> tuple[Instruction, ...]:
    """Return the variants for a task: those for its programs' language where there are some, else its kind's.

    Args:
        instructions: All there are.
        line: The task.
        listed: Whether each chain is to list several explanations.
    """
    mode = SPREAD_LIST if listed else line.mode
    by_language = instructions.get((f"{line.kind}-{line.language}", mode))
    return by_language or instructions[line.kind, mode]


def has_list(instructions: Instructions, line: TaskLine) -> bool:
    """Return whether there is an instruction that asks for several explanations at once."""
    return line.mode == "spread" and (line.kind, SPREAD_LIST) in instructions


def _read(folder: Path) -> dict[tuple[str, str], tuple[Instruction, ...]]:
    found: dict[tuple[str, str], tuple[Instruction, ...]] = {}
    for path in sorted(folder.glob("*.txt")):
        kind, mode, variant = _parts(path)
        found[kind, mode] = (*found.get((kind, mode), ()), Instruction(variant=variant, text=_text(path)))
    return found


def _parts(path: Path) -> tuple[str, str, str]:
    parts = path.name.split(".")
    if len(parts) != 4 or parts[0] not in KINDS or parts[1] not in MODES or not parts[2]:
        raise ConfigurationError(
            f"{path}: an instruction is called KIND.MODE.VARIANT.txt, where KIND is one of "
            f"{', '.join(KINDS)} and MODE is {' or '.join(MODES)}"
        )
    return parts[0], parts[1], parts[2]


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        text = content.decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read as UTF-8 text: {error}") from error
    if not text or len(content) > MAX_BYTES:
        raise ConfigurationError(f"{path} is {'empty' if not text else f'longer than {MAX_BYTES} bytes'}")
    return text


DEFAULT = read_instructions(None)
