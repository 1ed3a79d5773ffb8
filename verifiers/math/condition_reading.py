r"""Read a condition: a formula (``2x + 1 \le 7``, ``12 \mid n``, ``n \equiv 2 \pmod 5``), or a sentence about terms."""

from __future__ import annotations

import re
from fractions import Fraction

from verifiers.math.clauses import ALL, ANY, has_relation, split
from verifiers.math.conditions import Condition, Congruent, Divides, Every, Opposite, Some, Within
from verifiers.math.readings import MAX_READ_CHARS, trees
from verifiers.math.sentences import sentence
from verifiers.math.tokens import CannotReadError, prepared
from verifiers.math.tree import Call, Const, Listing, Node, Num, Relation, Sym, Tuple

__all__ = ["read_condition"]

_WORDS_COMMAND = re.compile(r"\\(?:text|textrm|textit|textbf|mbox|mathrm|operatorname)\s?\{([^{}]{0,200})\}")
_REMAINDER_SIGN = re.compile(r"(.+?)(?:\\bmod|\\mod|\bmod\b|\\?%)(.+?)(?:==|=|\\equiv)(.+)")
_SIGNED_SET = re.compile(
    r"(.+\\in\s*\\mathbb\s?\{?\s?[ZNQR]\s?\}?)\s*(?:\^\s?\{?\s?([+-])\s?\}?|_\s?\{?\s?(>|<|\\geq?|\\leq?)\s?0\s?\}?)"
)
_RANGE = re.compile(
    r"(.+?)\\in\s*\\?\{\s?(-?\d{1,18})\s?,(?:\s?-?\d{1,18}\s?,){0,5}\s?(?:\\[lc]?dots|\.\.\.)\s?,\s?(-?\d{1,18})\s?\\?\}"
)
_NOT_DIVIDING = re.compile(r"\\nmid(?![a-zA-Z])|\\not\s?(?:\\mid(?![a-zA-Z])|\|)")
_SETS = {"Z": "integers", "N": "naturals", "Q": "rationals", "R": "reals", "C": "complexes"}
_COMPARED = frozenset(("=", "!=", "<", "<=", ">", ">=", "~"))


def read_condition(text: str) -> Condition:
    """Return what ``text`` asserts.

    Raises:
        CannotReadError: It can't be understood; the message says why.
    """
    if len(text) > MAX_READ_CHARS:
        raise CannotReadError(f"a condition of more than {MAX_READ_CHARS} characters is too large")
    plain = _WORDS_COMMAND.sub(lambda m: f" {m[1]} ", prepared(text))
    plain = re.sub(r"\\[,;:! ]|\\q?quad(?![a-zA-Z])|\s+", " ", plain)
    return _condition(plain)


def _condition(text: str, depth: int = 0) -> Condition:
    text = text.strip(" .,;")
    if depth > 20:
        raise CannotReadError("it has too many clauses")
    said = sentence(text, _value, lambda rest: _condition(rest, depth + 1))
    if said is not None:
        return said
    any_of = split(text, ANY)
    if len(any_of) > 1 and all(has_relation(piece) for piece in any_of):
        return Some(tuple(_condition(piece, depth + 1) for piece in any_of))
    all_of = split(text, ALL)
    if len(all_of) > 1 and has_relation(all_of[-1]):
        return Every(tuple(_shared(all_of, depth)))
    return _formula(text)


def _shared(pieces: list[str], depth: int) -> list[Condition]:
    """Read clauses; terms that assert nothing share what the next clause says: ``a, b > 0``."""
    found: list[Condition] = []
    bare: list[str] = []
    for piece in pieces:
        if not has_relation(piece):
            bare.append(piece)
            continue
        last = _condition(piece, depth + 1)
        found += [_about(_value(term), last) for term in bare]
        found.append(last)
        bare = []
    return found


def _about(term: Node, condition: Condition) -> Condition:
    """Return ``condition`` with its first term replaced."""
    match condition:
        case Relation(ops, sides):
            return Relation(ops, (term, *sides[1:]))
        case Within(_, where):
            return Within(term, where)
        case Opposite(Within(_, where)):
            return Opposite(Within(term, where))
        case Every(parts):
            return Every(tuple(_about(term, part) for part in parts))
        case _:
            raise CannotReadError("it isn't clear what its list of terms belongs to")


def _formula(text: str) -> Condition:
    not_dividing = _NOT_DIVIDING.split(text)
    if len(not_dividing) == 2:
        return Opposite(Divides(_value(not_dividing[0]), _value(not_dividing[1])))
    if text.count("|") == 1 and not text.startswith("|"):
        divisor, _, number = text.partition("|")
        return Divides(_value(divisor), _value(number))
    remainder = _REMAINDER_SIGN.fullmatch(text)
    if remainder is not None and not re.search(r"mod|[=<>]", remainder[1] + remainder[3]):
        return _remainder(*(_value(part) for part in remainder.groups()))
    signed = _SIGNED_SET.fullmatch(text)
    if signed is not None:
        return _signed_set(_formula(signed[1]), signed[2] or signed[3])
    ranged = _RANGE.fullmatch(text)
    if ranged is not None:
        subject, low, high = (_value(part) for part in ranged.groups())
        return Every((Within(subject, Const("integers")), Relation(("<=", "<="), (low, subject, high))))
    return _related(trees(text)[0])


def _remainder(number: Node, modulus: Node, remainder: Node) -> Condition:
    bounds = Relation(("<=", "<"), (Num(Fraction(0)), remainder, modulus))
    return Every((Congruent(number, remainder, modulus), bounds))


def _signed_set(within: Condition, sign: str) -> Condition:
    if not isinstance(within, Within):
        raise CannotReadError("a set with a sign is only understood as what something is in")
    op = {"+": ">", "-": "<", ">": ">", "<": "<"}.get(sign) or (">=" if "ge" in sign else "<=")
    return Every((within, Relation((op,), (within.subject, Num(Fraction(0))))))


def _related(tree: Node) -> Condition:
    match tree:
        case Listing(items, joiner):
            parts = tuple(_related(item) for item in items)
            return Some(parts) if joiner == "or" else Every(parts)
        case Tuple("", items, _):
            return Every(tuple(_related(item) for item in items))
        case Relation(ops, sides):
            return _chain(ops, sides)
        case _:
            raise CannotReadError("it asserts nothing: no =, <, divisibility or property in it")


def _chain(ops: tuple[str, ...], sides: tuple[Node, ...]) -> Condition:
    last = sides[-1]
    if set(ops) <= {"=", "=="} and isinstance(last, Call) and last.name == "mod":
        number, modulus = last.args
        return Every(tuple(Congruent(side, number, modulus) for side in sides[:-1]))
    if ops == ("mid",):
        return Divides(*sides)
    if ops in (("in",), ("notin",)):
        within = Within(sides[0], _named_set(last))
        return within if ops == ("in",) else Opposite(within)
    plain = tuple("=" if op == "==" else op for op in ops)
    if not _COMPARED.issuperset(plain):
        raise CannotReadError("a relation of that kind is not understood in a condition")
    return Relation(plain, sides)


def _named_set(where: Node) -> Node:
    return Const(_SETS[where.name]) if isinstance(where, Sym) and where.name in _SETS else where


def _value(text: str) -> Node:
    tree = trees(text.strip())[0]
    if isinstance(tree, Relation | Listing):
        raise CannotReadError(f"one value was expected, not {text.strip()[:40]!r}")
    return tree
