"""Finding the program in what a model wrote."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifiers.code.extraction import extract_program
from verifiers.code.languages import JAVASCRIPT, PYTHON

CHAIN = """Let me think. First a draft:

```python
def add(a, b):
    return a - b
```

That is wrong. And a helper:

```python
def other():
    pass
```

Final:

```python
def add(a, b):
    return a + b
```

To run it:

```bash
python add.py
```
"""


def test_the_last_block_that_defines_the_entry_point_wins() -> None:
    assert extract_program(CHAIN, "add") == "def add(a, b):\n    return a + b\n"


def test_a_block_that_defines_something_wins_when_none_defines_the_entry_point() -> None:
    assert "a + b" in str(extract_program(CHAIN, "missing"))


def test_an_example_call_in_a_later_block_is_not_the_program() -> None:
    text = "```python\ndef f():\n    return 1\n```\nExample:\n```python\nprint(f())\n```"
    assert extract_program(text, None) == "def f():\n    return 1\n"


def test_a_text_without_fences_is_the_program_when_it_is_python_that_defines_something() -> None:
    assert extract_program("x = 1\ndef f():\n    return x", "f") == "x = 1\ndef f():\n    return x"


@pytest.mark.parametrize("text", ["", "42", "I don't know.", "print(1)", "The answer is 4"])
def test_a_text_that_defines_nothing_holds_no_program(text: str) -> None:
    assert extract_program(text, None) is None


def test_a_fence_that_never_closes_reaches_to_the_end() -> None:
    assert extract_program("Sure!\n```python\ndef f():\n    return 1", "f") == "def f():\n    return 1"


def test_a_block_in_a_list_item_loses_the_items_indentation() -> None:
    assert (
        extract_program("1. So:\n   ```py\n   def f():\n       return 1\n   ```\n", "f")
        == "def f():\n    return 1\n"
    )


def test_a_block_that_is_not_python_is_passed_over() -> None:
    assert extract_program("```\ndef f(:\n```\n```json\n{}\n```", "f") is None


def test_windows_line_ends_do_not_matter() -> None:
    assert (
        extract_program("```python\r\ndef f():\r\n    return 1\r\n```\r\n", "f") == "def f():\n    return 1\n"
    )


@pytest.mark.parametrize(
    "hostile", ["(" * 50_000, "-" * 50_000 + "1", "1+" * 40_000 + "1", "```\n" * 10_000, "\0"]
)
def test_text_made_to_break_the_parser_holds_no_program(hostile: str) -> None:
    assert extract_program(hostile, None) is None


@given(st.text(alphabet="`python\ndef f():1~ \t", max_size=200))
def test_any_text_gives_a_program_or_none(text: str) -> None:
    found = extract_program(text, "f")
    assert found is None or isinstance(found, str)


def test_the_normal_form_forgets_comments_docstrings_and_formatting() -> None:
    one = 'def f( x ):\n    """Say."""\n    # so\n    return (x+1)'
    assert PYTHON.normal_form(one) == PYTHON.normal_form("def f(x):\n\n    return x + 1\n")


def test_the_normal_form_keeps_what_makes_a_difference() -> None:
    assert PYTHON.normal_form("def f(x): return x + 1") != PYTHON.normal_form("def f(x): return x + 2")


def test_the_normal_form_of_what_is_not_python_is_itself() -> None:
    assert PYTHON.normal_form("def f(:") == "def f(:"


JAVASCRIPT_CHAIN = """First a try:

```js
const add = (a, b) => a - b;
```

And in Python it would be

```python
def add(a, b):
    return a + b
```

So:

```javascript
function add(a, b) {
  return a + b;
}
module.exports = { add };
```

```bash
node add.js
```
"""


def test_a_program_in_javascript_is_found_by_its_fence_and_its_names() -> None:
    found = extract_program(JAVASCRIPT_CHAIN, "add", JAVASCRIPT)
    assert found is not None
    assert found.startswith("function add(a, b) {\n  return a + b;")


@pytest.mark.parametrize(
    ("program", "names"),
    [
        ("async function f() {}\nfunction* g() {}", {"f", "g"}),
        ("export default class A {}\nexport const b = 1", {"A", "b"}),
        ("exports.c = 1;\nmodule.exports.d = () => 2;", {"c", "d"}),
        ("const e = () => {\n  const inner = 1;\n};", {"e"}),
        ("I would say no.", set()),
    ],
)
def test_the_names_of_a_javascript_program_show_without_a_parser(program: str, names: set[str]) -> None:
    assert JAVASCRIPT.defined(program) == names


def test_the_normal_form_of_javascript_never_touches_what_may_be_a_value() -> None:
    assert JAVASCRIPT.normal_form("f();  \n\n g();\n") == "f();\n g();"
    assert JAVASCRIPT.normal_form("f(`a  \n\nb`);\n") == "f(`a  \n\nb`);"
    assert JAVASCRIPT.normal_form("x = /a//b/; // why") == "x = /a//b/; // why"


@given(st.text())
def test_a_normal_form_of_javascript_is_idempotent(program: str) -> None:
    once = JAVASCRIPT.normal_form(program)
    assert JAVASCRIPT.normal_form(once) == once
