r"""The LaTeX commands and names that mean something in an answer."""

from __future__ import annotations

__all__ = [
    "ACCENTS", "ATOMS", "BINOMIALS", "COMMANDS", "FRACTIONS", "FUNCTIONS", "GREEK", "IGNORED", "LETTERED",
    "MATH_WORDS", "NUMBER_WORDS", "PLAIN_FUNCTIONS", "PLAIN_GREEK", "SHORT_WORDS", "SPACING", "TEXT_COMMANDS",
    "names",
]  # fmt: skip


def names(text: str) -> frozenset[str]:
    """Return the words of ``text``."""
    return frozenset(text.split())


FUNCTIONS = names(
    "sin cos tan cot sec csc arcsin arccos arctan arccot sinh cosh tanh log ln lg exp sqrt cbrt abs floor ceil min max "
    "gcd lcm det factorial arg Re Im"
)
GREEK = names(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho sigma tau "
    "upsilon "
    "phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell"
)
LETTERED = names(
    "overline bar vec hat overrightarrow widehat tilde dot"
)  # they make another name of a letter
ACCENTS = LETTERED | names("mathbf mathcal boldsymbol underline mathop angle triangle")
FRACTIONS = names("frac tfrac dfrac cfrac")
BINOMIALS = names("binom dbinom tbinom")
_OPENING = names("lbrace langle lfloor lceil lvert")
ATOMS = (
    FUNCTIONS | GREEK | ACCENTS | FRACTIONS | BINOMIALS | _OPENING
    | names("pi infty emptyset varnothing mathbb sum prod int")
)  # fmt: skip
"""Commands that can begin a factor."""

TEXT_COMMANDS = names("text textbf textit textrm texttt textsf mbox mathrm operatorname mathit mathsf")
SPACING = names("quad qquad space thinspace")
IGNORED = SPACING | names(
    "left right displaystyle textstyle limits big Big bigg Bigg bigl bigr Bigl Bigr bf rm it hline hfill newline"
)
COMMANDS = (
    ATOMS | TEXT_COMMANDS | IGNORED
    | names(
        "cdot times div ast bullet pm mp le leq leqslant ge geq geqslant ne neq lt gt approx equiv sim in notin to cup "
        "cap setminus smallsetminus circ degree choose lim rangle rfloor rceil rvert vert mid rbrace lbrack rbrack "
        "begin "
        "end boxed pmod bmod mod over prime ldots cdots dots dotsc dotsm partial nabla forall exists land lor wedge "
        "vee "
        "implies Rightarrow iff perp parallel oplus colon star backslash pounds euro square cong propto bigcup bigcap "
        "deg dim ker sup inf lnot neg not tag label phantom rightarrow mapsto longrightarrow therefore because"
    )
)  # fmt: skip
"""All that are known at all; ``\\quadx`` is cut into the longest of these and the rest."""

SHORT_WORDS = names(
    "it we so of to the are was no as by an at not for you has had get but can all how its she he her his if be do my "
    "on "
    "up us let use now one two six ten way men day did say see yes red any our out who why too per ago is"
)
"""English words so short that they could be letters multiplied, but aren't."""

PLAIN_FUNCTIONS = (
    "arcsin", "arccos", "arctan", "arccot", "sinh", "cosh", "tanh", "sqrt", "cbrt", "sin", "cos", "tan", "cot", "sec",
    "csc", "log", "ln", "exp", "min", "max", "gcd", "lcm", "det", "abs", "floor", "ceil", "factorial",
)  # fmt: skip
"""Names of functions in plain text; longer ones first, so that ``sinhx`` starts with ``sinh``."""

MATH_WORDS = frozenset(PLAIN_FUNCTIONS) | names(
    "infinity infty percent frac theta alpha beta gamma delta lambda sigma omega hundred thousand million billion "
    "trillion union"
)
"""Words of four letters or more that a bare answer may hold."""

PLAIN_GREEK = names("alpha beta gamma delta epsilon theta lambda mu rho sigma tau phi omega")
_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety hundred"
NUMBER_WORDS = {word: n for n, word in enumerate(_UNITS.split())} | {
    word: 10 * n for n, word in enumerate(_TENS.split(), 2)
}
