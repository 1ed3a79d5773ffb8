"""The terms of a text, for search by words.

Collections keep the terms of their passages in the database, so a change here asks for a migration that makes them
again. Postgres' own parser is left out on purpose: it depends on the server's locale, and a task's own documents,
which never see a database, are to be searched exactly as a collection's are.
"""

from __future__ import annotations

import re
import unicodedata

MAX_TERM_CHARS = 64  # longer "words" are encodings of something; their beginning tells them apart

_WORD = re.compile(r"[^\W_]+")
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")  # kana and Han, written without spaces
_LITTLE_WORDS = (
    "a an and are as at be been but by can did do does for from had has have he her his if in into is it its may of "
    "on or our she so such than that the their them then there these they this those to was we were what when which "
    "who will with would you your"
)
_STOP_WORDS = frozenset(_LITTLE_WORDS.split())


def terms_of(text: str) -> list[str]:
    """Return the terms of ``text`` in their order, repeated as they are; each is letters and digits only.

    Case, accents and plural endings are dropped, and so are English words that say nothing. Chinese and Japanese
    become overlapping pairs of characters.
    """
    bare = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    found: list[str] = []
    for word in _WORD.findall(unicodedata.normalize("NFC", bare)):
        if word in _STOP_WORDS:
            continue
        if _UNSPACED.search(word):
            found += [word[i : i + 2] for i in range(max(1, len(word) - 1))]
        else:
            found.append(_singular(word)[:MAX_TERM_CHARS])
    return found


def _singular(word: str) -> str:
    """Return the word without an English plural ending, by the three rules of Harman's S-stemmer (1991)."""
    if len(word) <= 3 or not word.endswith("s"):
        return word
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        return word[:-3] + "y"
    if word.endswith("es") and not word.endswith(("aes", "ees", "oes")):
        return word[:-1]
    return word if word.endswith(("us", "ss")) else word[:-1]
