"""Merkle trees against RFC 6962's own vectors, and what its shape promises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.hashes.merkle import EMPTY, Tree, leaf_hash, node_hash, path_to, root_of

# The inputs and roots that the reference implementation of RFC 6962 (google/certificate-transparency) is tested with.
INPUTS = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [leaf_hash(bytes.fromhex(one)) for one in INPUTS]

hashes = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40, unique=True)


@pytest.mark.parametrize("size", range(len(ROOTS)))
def test_roots_are_those_of_the_reference_implementation(size: int) -> None:
    assert root_of(LEAVES[:size]).hex() == ROOTS[size]


def by_definition(leaves: list[bytes]) -> bytes:
    if not leaves:
        return EMPTY
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return node_hash(by_definition(leaves[:k]), by_definition(leaves[k:]))


@given(hashes)
def test_a_tree_that_grows_has_the_root_of_the_definition(leaves: list[bytes]) -> None:
    tree = Tree()
    for n, leaf in enumerate(leaves, start=1):
        tree.add(leaf)
        assert tree.root() == by_definition(leaves[:n])
    assert tree.size == len(leaves)


def root_by_path(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes | None:
    """Verify as RFC 9162, section 2.1.3.2, does it; the tree is built by another rule."""
    found, last, rest = leaf, size - 1, list(path)
    while last > 0:
        if not rest:
            return None
        if index % 2 == 1 or index == last:
            found = node_hash(rest.pop(0), found)
            while index % 2 == 0 and index > 0:
                index, last = index // 2, last // 2
        else:
            found = node_hash(found, rest.pop(0))
        index, last = index // 2, last // 2
    return None if rest else found


@given(hashes, st.data())
def test_every_leaf_has_a_path_to_the_root_and_no_other_leaf_or_place_has_it(
    leaves: list[bytes], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    path, root = path_to(leaves, index), root_of(leaves)
    assert root_by_path(leaves[index], index, len(leaves), path) == root
    assert root_by_path(leaf_hash(leaves[index]), index, len(leaves), path) != root
    assert root_by_path(leaves[index], index, len(leaves), [*path, root]) is None
    if path:
        assert root_by_path(leaves[index], index, len(leaves), path[:-1]) is None
        other = data.draw(st.integers(0, len(leaves) - 1).filter(lambda i: i != index))
        assert root_by_path(leaves[index], other, len(leaves), path) != root


@given(hashes, st.data())
def test_no_change_removal_insertion_or_swap_keeps_the_root(leaves: list[bytes], data: st.DataObject) -> None:
    i = data.draw(st.integers(0, len(leaves) - 1))
    j = data.draw(st.integers(0, len(leaves) - 1))
    new = data.draw(st.binary(min_size=32, max_size=32))
    swapped = list(leaves)
    swapped[i], swapped[j] = swapped[j], swapped[i]
    for other in (
        [*leaves[:i], new, *leaves[i + 1 :]],
        [*leaves[:i], *leaves[i + 1 :]],
        [*leaves[:i], new, *leaves[i:]],
        swapped,
    ):
        assert (root_of(other) == root_of(leaves)) == (other == leaves)


def test_an_inner_node_is_no_leaf() -> None:
    assert leaf_hash(LEAVES[0] + LEAVES[1]) != node_hash(LEAVES[0], LEAVES[1])
