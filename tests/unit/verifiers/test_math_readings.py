from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifiers.math.meaning import meaning
from verifiers.math.readings import MAX_READ_CHARS, readings
from verifiers.math.rendering import rendered
from verifiers.math.tokens import CannotReadError
from verifiers.math.tree import Add, Div, Mul, Num, Pow, Sym, depth, walk


def _read(text: str) -> str:
    return rendered(meaning(readings(text)[0].tree))


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        ("-2^2", "-1·(2)^(2)"),
        ("2^{3^2}", "(2)^((3)^(2))"),
        ("1/2x", "(1)/(2)·x"),
        (r"1\frac12", "(1 + (1)/(2))"),
        (r"\sin^2 x", "(sin(x))^(2)"),
        (r"\sin 2x\cos x", "sin(2·x)·cos(x)"),
        (r"||x|-1|", "abs((abs(x) + -1))"),
        (r"|x||y|", "abs(x)·abs(y)"),
        ("1,234", "1234"),
        ("(1,234)", "(1, 234)"),
        ("1,22", "61/50"),
        (r"0.1\overline{6}", "1/6"),
        ("x < 1 or x > 3", "x ∈ (-1·inf, 1) ∪ (3, inf)"),
        (r"-2 \le x < 7", "x ∈ [-2, 7)"),
        ("n = 2, 3", "n = 2, 3"),
        (r"1 \pm \sqrt2", "(1 + sqrt(2)) or (1 + -1·sqrt(2))"),
        ("52_8", "52_8"),
        ("3:30 p.m.", "3:30 pm"),
        ("3 May 2020", "“2020-05-03”"),
        (r"15\mbox{ cm}^2", "15 cm^2"),
        (r"\text{No solution}", "{}"),
    ],
)
def test_an_answer_is_read_as_a_person_would(text: str, reading: str) -> None:
    assert _read(text) == reading


@pytest.mark.parametrize(
    "text",
    ["", "1 2", "1 +", "(1", "1)", r"\frac{1}", r"\foo", "2 = ", "a\x00b",
     r"\begin{pmatrix}1&2\\3\end{pmatrix}", "__import__('os')", "1e999999999"],
)  # fmt: skip
def test_what_is_no_answer_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(CannotReadError) as refused:
        readings(text)
    assert str(refused.value)


@given(st.text(alphabet=r"\frac{}sqrtpi^_()[]|+-*/=<>,.;:0123456789xyif!%$& ", max_size=200))
def test_reading_never_fails_otherwise_and_stays_small(text: str) -> None:
    try:
        found = readings(text)
    except CannotReadError:
        return
    assert all(depth(r.tree) <= 60 for r in found)
    assert sum(1 for r in found for _ in walk(r.tree)) <= 20 * MAX_READ_CHARS


@given(st.fractions())
def test_a_fraction_is_read_exactly(value: Fraction) -> None:
    above, below = value.numerator, value.denominator
    tree = readings(rf"\frac{{{above}}}{{{below}}}")[0].tree
    assert tree == Div(Num(Fraction(above)), Num(Fraction(below)))


def test_products_bind_tighter_than_sums() -> None:
    two_x_squared = Mul((Num(Fraction(2)), Pow(Sym("x"), Num(Fraction(2)))))
    assert readings("2x^2+1")[0].tree == Add((two_x_squared, Num(Fraction(1))))
