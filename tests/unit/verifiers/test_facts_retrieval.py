"""Search by words and by meaning: the formulas, the fusion, the cutting into passages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifiers.facts.bm25 import bm25, statistics_of
from verifiers.facts.chunking import PASSAGE_CHARS, passage_spans, passages_of
from verifiers.facts.fusion import reciprocal_rank_fusion
from verifiers.facts.memory import MAX_EMBEDDED, MemoryRetriever
from verifiers.facts.ranking import Vectors
from verifiers.facts.sentences import MAX_SENTENCE_CHARS, sentence_spans, sentences
from verifiers.facts.terms import MAX_TERM_CHARS, terms_of
from verifiers.passages import Passage

TERMS = st.lists(st.sampled_from(["fever", "cough", "rash", "pain", "dog"]), max_size=12)
TEXT = st.text(st.sampled_from(list("ab .!?\n\"'1A。é\ud800")), max_size=300)
RANKING = st.permutations(range(8)).flatmap(lambda order: st.integers(0, 8).map(lambda n: list(order[:n])))


def passage(text: str, *, ordinal: int = 0, document: str = "d") -> Passage:
    return Passage(document=document, ordinal=ordinal, text=text)


class CountedLetters:
    """A sentence model whose vectors are letter counts; it cannot read what is longer than 100 characters."""

    name, revision = "letters", "1"

    def __init__(self) -> None:
        self.n_read = 0

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.n_read += len(texts)
        rows = np.array([[text.count(letter) for letter in "abcdefghij"] for text in texts], dtype=np.float64)
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        rows = np.divide(rows, norms, out=np.full_like(rows, np.nan), where=norms > 0)
        rows[[len(text) > 100 for text in texts]] = np.nan
        return np.asarray(rows)


def test_bm25_is_the_published_formula_in_numbers_worked_by_hand() -> None:
    # N = 3, mean length 7/3; "fever" in two passages, "cough" in one.
    texts = [["fever", "fever", "cough"], ["fever", "rash"], ["rash", "rash"]]
    statistics = statistics_of(texts)
    length = 0.25 + 0.75 * 3 / (7 / 3)
    fever = math.log(1 + 1.5 / 2.5) * 2 * 2.2 / (2 + 1.2 * length)
    cough = math.log(1 + 2.5 / 1.5) * 1 * 2.2 / (1 + 1.2 * length)
    assert bm25(["fever", "cough", "fever"], texts[0], statistics) == pytest.approx(fever + cough)
    assert bm25(["dog"], texts[0], statistics) == 0.0


@given(query=TERMS, texts=st.lists(TERMS, min_size=1, max_size=6))
def test_bm25_is_zero_exactly_when_nothing_is_shared(query: list[str], texts: list[list[str]]) -> None:
    statistics = statistics_of(texts)
    for text in texts:
        score = bm25(query, text, statistics)
        assert (score > 0) == bool(set(query) & set(text))
        assert score == bm25(query[::-1] + query, text, statistics)


@given(texts=st.lists(TERMS, min_size=2, max_size=6), term=st.sampled_from(["fever", "rash"]))
def test_bm25_grows_when_a_word_of_the_query_takes_the_place_of_another(
    texts: list[list[str]], term: str
) -> None:
    statistics = statistics_of(texts)
    before = ["dog"] * 4 + [term]
    assert bm25([term], ["dog"] * 3 + [term] * 2, statistics) > bm25([term], before, statistics)


@given(rankings=st.lists(RANKING, min_size=1, max_size=3))
def test_fusion_is_monotone_in_every_rank(rankings: list[list[int]]) -> None:
    scores = reciprocal_rank_fusion(rankings)
    assert set(scores) == {item for ranking in rankings for item in ranking}
    for ranking in rankings:
        for i, item in enumerate(ranking[1:], start=1):
            better = [*ranking]
            better[i - 1], better[i] = better[i], better[i - 1]
            others = [one for one in rankings if one is not ranking]
            assert (
                reciprocal_rank_fusion([better, *others])[item]
                > reciprocal_rank_fusion([ranking, *others])[item]
            )


@given(rankings=st.lists(RANKING, min_size=1, max_size=3))
def test_what_every_ranking_puts_first_is_first(rankings: list[list[int]]) -> None:
    led = [[99, *ranking] for ranking in rankings]
    assert next(iter(reciprocal_rank_fusion(led))) == 99
    assert list(reciprocal_rank_fusion([rankings[0]])) == rankings[0]


def test_fusion_is_the_published_formula() -> None:
    scores = reciprocal_rank_fusion([[7, 8], [8]])
    assert scores == {8: pytest.approx(1 / 62 + 1 / 61), 7: pytest.approx(1 / 61)}


@given(text=TEXT)
def test_sentences_hold_every_word_once_in_order(text: str) -> None:
    spans = sentence_spans(text)
    assert _bare(text) == "".join(_bare(text[start:end]) for start, end in spans)
    assert all(0 < end - start <= MAX_SENTENCE_CHARS for start, end in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


@given(text=st.one_of(TEXT, st.lists(TEXT, min_size=1, max_size=30).map(". ".join)))
def test_passages_cover_the_whole_text_in_order(text: str) -> None:
    spans = passage_spans(text)
    covered = [False] * len(text)
    for start, end in spans:
        covered[start:end] = [True] * (end - start)
    assert all(held or character.isspace() for held, character in zip(covered, text, strict=True))
    for (start, end), (next_start, next_end) in pairwise(spans):
        assert start < next_start
        assert end < next_end
    assert all(end - start <= PASSAGE_CHARS for start, end in spans)


def test_the_last_sentence_of_a_passage_begins_the_next() -> None:
    text = " ".join(f"This is sentence number {i} of a long text." for i in range(60))
    first, second, *_ = passages_of("d", text, title="Long")
    assert sentences(second.text)[0] in sentences(first.text)
    assert (first.ordinal, second.ordinal) == (0, 1)
    assert text[second.start : second.start + len(second.text)] == second.text
    assert first.content == f"Long. {first.text}"


def test_a_sentence_ends_where_a_reader_would_end_it() -> None:
    text = 'Dr. Smith of No. 5 weighs 5.5 st. today! Does he? "Yes." The answer is no. So J. Doe left.'
    assert sentences(text) == [
        "Dr. Smith of No. 5 weighs 5.5 st. today!",
        "Does he?",
        '"Yes."',
        "The answer is no.",
        "So J. Doe left.",
    ]
    assert sentences("Signs:\n- fever\n- cough\n\nNothing else") == [
        "Signs:",
        "- fever",
        "- cough",
        "Nothing else",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "." * 10**6,
        '."' * 500_000,
        "\n" * 10**6,
        " \n" * 500_000,
        "a" * 10**6,
        "a. " * 300_000,
        "\n- " * 300_000,
    ],
    ids=["dots", "quotes", "lines", "blanks", "word", "sentences", "list"],
)
def test_a_million_characters_of_anything_are_cut_into_bounded_passages(text: str) -> None:
    assert all(len(one.text) <= PASSAGE_CHARS for one in passages_of("d", text))


def test_what_no_database_takes_is_replaced_in_place() -> None:
    (one,) = passages_of("d", "a\x00b \ud800c")
    assert one.text == "a\ufffdb \ufffdc"


@given(text=st.text(max_size=200))
def test_terms_are_letters_and_digits_of_bounded_length(text: str) -> None:
    assert all(term.isalnum() and len(term) <= MAX_TERM_CHARS for term in terms_of(text))


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("The Fevers of SJÖGREN's patients", ["fever", "sjogren", "s", "patient"]),
        ("allergies, causes, illness, virus", ["allergy", "cause", "illness", "virus"]),
        ("肺炎です", ["肺炎", "炎て", "てす"]),
        ("'; DROP TABLE passages; --", ["drop", "table", "passage"]),
        ("", []),
    ],
)
def test_terms_lose_what_does_not_matter(text: str, terms: list[str]) -> None:
    assert terms_of(text) == terms


def test_search_finds_by_words_alone_where_there_is_no_model() -> None:
    passages = [passage("Cats sleep all day.", ordinal=0), passage("Dogs bark at night.", ordinal=1)]
    retrieved = MemoryRetriever(passages, why_no_model="not installed").retrieve("A dog barks", n=5)
    assert [one.passage.ordinal for one in retrieved.found] == [1]
    assert retrieved.found[0].bm25_rank == 1
    assert retrieved.found[0].cosine is None
    assert (retrieved.method, retrieved.source) == (
        "bm25",
        {"n_passages": 2, "no_embeddings": "not installed"},
    )


def test_search_fuses_words_and_meaning_and_says_where_each_put_a_passage() -> None:
    passages = [passage("ccc", ordinal=0), passage("jjj xy", ordinal=1), passage("aab xy", ordinal=2)]
    retrieved = MemoryRetriever(passages, model=CountedLetters()).retrieve("aab xy", n=2)
    best, second = retrieved.found
    assert (best.passage.ordinal, best.bm25_rank, best.cosine_rank) == (2, 1, 1)
    assert (second.passage.ordinal, second.bm25_rank, second.cosine_rank) == (1, 2, 3)
    assert best.fused == pytest.approx(2 / 61)
    assert retrieved.source["embedder"] == "letters@1"


def test_a_passage_the_model_cannot_read_whole_is_still_found_by_its_words() -> None:
    passages = [passage("a" * 101 + " needle"), passage("abc", ordinal=1)]
    found = MemoryRetriever(passages, model=CountedLetters()).retrieve("a needle", n=2).found
    unread = {one.passage.ordinal: one for one in found}[0]
    assert (unread.cosine, unread.bm25_rank) == (None, 1)


def test_of_many_passages_only_the_best_by_words_are_embedded_and_each_once() -> None:
    model = CountedLetters()
    passages = [passage(f"filler {i}", ordinal=i) for i in range(MAX_EMBEDDED + 100)]
    retriever = MemoryRetriever(passages, model=model)
    retriever.retrieve("filler 7", n=3)
    retriever.retrieve("filler 7", n=3)
    assert model.n_read == MAX_EMBEDDED + 2


@given(texts=st.lists(st.text(st.sampled_from("abc .\x00\ud800"), max_size=20), max_size=5), query=TEXT)
def test_search_takes_any_text(texts: list[str], query: str) -> None:
    passages = [one for i, text in enumerate(texts) for one in passages_of(str(i), text)]
    found = MemoryRetriever(passages, model=CountedLetters()).retrieve(query, n=3).found
    assert len(found) <= 3
    assert sorted((one.fused for one in found), reverse=True) == [one.fused for one in found]


def _bare(text: str) -> str:
    return "".join(text.split())
