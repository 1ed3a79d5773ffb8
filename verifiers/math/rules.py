"""Which rule compares which kind of meaning."""

from __future__ import annotations

from collections.abc import Mapping

from verifiers.math import regions, relations, several, values, wordings
from verifiers.math.comparison import Rule
from verifiers.math.meaning import Assigned, Region
from verifiers.math.tree import (
    Add,
    Based,
    Big,
    Call,
    Choice,
    Clock,
    Const,
    Degrees,
    Div,
    Listing,
    Matrix,
    Mul,
    Num,
    Percent,
    PlusMinus,
    Pow,
    Quantity,
    Ratio,
    Relation,
    SetOf,
    SetOp,
    Sym,
    Text,
    Tuple,
)  # fmt: skip

__all__ = ["RULES"]

# The order matters: a pair is turned so that the kind that stands first is on the left, and its rule decides. What is
# wrapped around a value (a name, a choice, a unit) therefore stands before the value.
RULES: Mapping[type, Rule] = {
    Choice: wordings.choice,
    Assigned: relations.assigned,
    Relation: relations.relation,
    Region: regions.region,
    SetOp: several.set_operation,
    Listing: several.listing,
    SetOf: several.listing,
    Tuple: several.point,
    Matrix: several.matrix,
    Text: wordings.text,
    Clock: wordings.clock,
    Ratio: values.ratio,
    Quantity: values.quantity,
    Percent: values.percent,
    Degrees: values.degrees,
    Based: values.based,
    Num: values.value,
    Sym: values.value,
    Const: values.value,
    Add: values.value,
    Mul: values.value,
    Div: values.value,
    Pow: values.value,
    PlusMinus: values.value,
    Call: values.value,
    Big: values.value,
}
