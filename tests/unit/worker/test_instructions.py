"""Instructions: ours, and an operator's in their place."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from reasoner.decisions import Mode
from worker.errors import ConfigurationError
from worker.instructions.reading import DEFAULT, read_instructions
from worker.sampling import OWN_VARIANT, prompts_of, requests_of
from worker.submission.lines import Kind, TaskLine


def task(**fields: Any) -> TaskLine:
    return TaskLine.model_validate({"custom_id": "t", "kind": "qa", "prompt": "?", **fields})


def test_every_kind_and_mode_has_an_instruction() -> None:
    assert set(DEFAULT) >= {(kind, mode) for kind in get_args(Kind) for mode in get_args(Mode)}


def test_programs_in_another_language_are_asked_for_in_it() -> None:
    verify = [{"verifier": "code", "tests": "x", "language": "javascript"}]
    ((_, messages),) = prompts_of(task(kind="code", verify=verify))
    assert "JavaScript" in messages[0].content
    ((_, messages),) = prompts_of(task(kind="code"))
    assert "Python" in messages[0].content
    ((_, of_spread),) = prompts_of(task(kind="code", verify=verify, mode="spread"))
    assert of_spread[0].content == DEFAULT["code", "spread"][0].text


def test_an_operator_s_files_take_the_place_of_ours_for_their_kind_and_mode_only(tmp_path: Path) -> None:
    (tmp_path / "qa.merge.b.txt").write_text("Second.\n")
    (tmp_path / "qa.merge.a.txt").write_text("First.\n")
    found = read_instructions(tmp_path)
    assert [(one.variant, one.text) for one in found["qa", "merge"]] == [("a", "First."), ("b", "Second.")]
    assert found["qa", "spread"] == DEFAULT["qa", "spread"]


def test_chains_take_the_variants_in_turn_and_say_which(tmp_path: Path) -> None:
    for variant in "abc":
        (tmp_path / f"qa.merge.{variant}.txt").write_text(f"Say {variant}.")
    requests = requests_of("t", task(options={"k": 8}), read_instructions(tmp_path))
    assert "".join(request.variant for request in requests) == "abcbcaca"
    assert all(request.messages[0].content == f"Say {request.variant}." for request in requests)


def test_a_task_s_own_system_message_replaces_them() -> None:
    turns = [{"role": "system", "content": "Mine."}, {"role": "user", "content": "?"}]
    ((variant, messages),) = prompts_of(task(prompt=None, messages=turns))
    assert variant == OWN_VARIANT
    assert [message.content for message in messages] == ["Mine.", "?"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("maths.merge.a.txt", "x", "KIND is one of"),
        ("math.merge.txt", "x", "KIND.MODE.VARIANT"),
        ("math.both.a.txt", "x", "MODE is"),
        ("math.merge.a.txt", " \n", "empty"),
        ("math.merge.a.txt", "x" * 30_000, "longer"),
    ],
)
def test_a_file_that_cannot_be_meant_is_named(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigurationError, match=said) as caught:
        read_instructions(tmp_path)
    assert name in str(caught.value)


def test_a_folder_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="PROMPTS_DIR"):
        read_instructions(tmp_path / "none")
