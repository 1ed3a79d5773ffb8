"""Rows as leaves: nothing of a row can change unseen, and nothing of a salted text can be guessed."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from worker.hashes.headers import FIRST_PREVIOUS, hash_of, header_of
from worker.hashes.leaves import GROUPS, NO_DIGEST, PARTS, Redacted, Row, Salts, digests_of, hashed, leaf_of
from worker.hashes.merkle import leaf_hash

SEED = bytes(range(32))
SALTS = Salts(seed=SEED, n_seeds=1)

kinds = st.sampled_from(sorted(GROUPS))


@st.composite
def rows(draw: st.DrawFn) -> Row:
    kind = draw(kinds)
    texts = draw(st.tuples(*(st.text(max_size=20) for _ in GROUPS[kind])))
    return Row(f"{kind} {draw(st.integers(0, 9))}", texts)


@given(rows(), rows())
def test_rows_have_the_same_leaf_only_when_they_are_the_same(one: Row, other: Row) -> None:
    same = hashed([one], SALTS).leaves == hashed([other], SALTS).leaves
    assert same == (one == other)


@given(rows(), st.data())
def test_the_mark_of_the_group_that_changed_is_the_only_one_that_differs(
    row: Row, data: st.DataObject
) -> None:
    i = data.draw(st.integers(0, len(row.texts) - 1))
    changed = Row(row.name, (*row.texts[:i], row.texts[i] + "x", *row.texts[i + 1 :]))
    before, after = digests_of(row, SALTS), digests_of(changed, SALTS)
    assert [a != b for a, b in zip(before, after, strict=True)] == [k == i for k in range(len(before))]


def test_a_leaf_is_what_the_page_says() -> None:
    digest = hashlib.sha256(b'{"a": 1}').digest()
    expected = hashlib.sha256(b'\x00["redaction","' + digest.hex().encode() + b'"]').digest()
    assert leaf_of("redaction", digests_of(Row("redaction", ('{"a": 1}',)), SALTS)) == expected


@given(st.text(), st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=3))
def test_whatever_a_row_is_called_its_leaf_is_that_of_a_json_list(name: str, digests: list[bytes]) -> None:
    told = json.dumps([name, *(one.hex() for one in digests)], separators=(",", ":"))
    assert leaf_of(name, digests) == leaf_hash(told.encode())


@given(st.sampled_from(sorted(PARTS)))
def test_a_salted_digest_depends_on_task_row_and_group(part: tuple[str, str]) -> None:
    kind, group = part
    place = GROUPS[kind].index(group)
    row = Row(f"{kind} 1", tuple("same" for _ in GROUPS[kind]))
    digest = digests_of(row, SALTS)[place]
    assert digest != hashlib.sha256(b"same").digest()
    assert digest != digests_of(Row(f"{kind} 2", row.texts), SALTS)[place]
    assert digest != digests_of(row, Salts(seed=b"other", n_seeds=1))[place]


def test_after_a_redaction_the_hash_stays_and_what_was_left_keeps_its_salt() -> None:
    row = Row("chain 3", ("{}", '"my name is"', '"42"'))
    salted = digests_of(row, SALTS)
    answer_salt = SALTS.of("chain 3", "answer")
    assert answer_salt is not None
    left = Salts(
        n_seeds=1,
        kept={"chain 3/answer": answer_salt.hex()},
        redacted={"chain 3/text": Redacted(digest=salted[1], now="")},
    )
    gone = Row("chain 3", ("{}", '"[redacted]"', '"42"'))
    assert digests_of(gone, left) == salted
    assert left.of("chain 3", "text") is None
    assert digests_of(gone, Salts(n_seeds=1))[1] == NO_DIGEST


def test_a_header_and_its_hash_are_what_the_page_says() -> None:
    time = datetime(2026, 5, 3, 10, 0, 0, 250, tzinfo=UTC)
    header = header_of(
        number=1,
        previous=FIRST_PREVIOUS,
        root=b"\xab" * 32,
        n_entries=2,
        n_rows=7,
        until_at=time,
        sealed_at=time,
        who="beat",
    )
    assert header == (
        f'{{"entries":2,"format":1,"number":1,"previous":"{"00" * 32}","root":"{"ab" * 32}","rows":7,'
        '"sealed":"2026-05-03T10:00:00.000250Z","until":"2026-05-03T10:00:00.000250Z","who":"beat"}'
    )
    assert hash_of(header) == hashlib.sha256(b"\x02" + header.encode()).digest()
