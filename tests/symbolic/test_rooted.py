"""Rooted trees in two colours: how many there are, and that each carries its exact weight."""

import doctest
from fractions import Fraction
from math import factorial

import pytest

from derive.symbolic import rooted as module
from derive.symbolic.rooted import Tree, grove, read, trees

BICOLOURED = (2, 4, 11, 34, 117, 421, 1589, 6162)
BLACK = (1, 1, 2, 4, 9, 20, 48, 115)


@pytest.mark.parametrize(("white", "counts"), [(True, BICOLOURED), (False, BLACK)])
def test_as_many_trees_as_there_are(white, counts):
    found = grove(8, white)
    assert tuple(b - a for a, b in zip(found.first[1:], found.first[2:])) == counts
    assert sum(counts) == len(found.branches)


def test_trees_are_distinct_and_of_their_order():
    for order in range(1, 7):
        found = trees(order)
        assert len(set(found)) == len(found) == BICOLOURED[order - 1]
        assert {tree.order for tree in found} == {order}
        assert set(trees(order, white=False)) == {tree for tree in found if "L" not in str(tree)}


def test_the_grove_carries_the_exact_weights():
    found = grove(7)
    for number, branch in enumerate(found.branches):
        assert Fraction(int(branch.exact.numerator), int(branch.exact.denominator)) == Fraction(
            1, found.tree(number).density
        )


def test_names_are_read_back():
    for order in range(1, 7):
        for tree in trees(order):
            assert read(str(tree)) == tree


@pytest.mark.parametrize(
    ("name", "order", "density", "symmetry"),
    [
        ("N", 1, 1, 1),
        ("L", 1, 1, 1),
        ("N[N,N]", 3, 3, 2),
        ("N[N[N,N]]", 4, 12, 2),
        ("N[N,N[N]]", 4, 8, 1),
        ("L[L[N]]", 3, 6, 1),
        ("L[N[N,N]]", 4, 12, 2),
        ("N[N,L,L]", 4, 4, 2),
        ("N[N[N],N[N]]", 5, 20, 2),
        ("N[N[N,N],N[N,N]]", 7, 63, 8),
    ],
)
def test_order_density_and_symmetry(name, order, density, symmetry):
    tree = read(name)
    assert (tree.order, tree.density, tree.symmetry, str(tree)) == (order, density, symmetry, name)


def test_monotone_labellings_add_up():
    """sum n!/(gamma sigma) over black trees counts the trees that n - 1 leaves grow into: (n - 1)!."""
    for order in range(1, 8):
        total = sum(Fraction(factorial(order), t.density * t.symmetry) for t in trees(order, white=False))
        assert total == factorial(order - 1)


def test_branches_have_no_order():
    assert read("N[N[N],L]") == read("N[L,N[N]]")


@pytest.mark.parametrize("text", ["", "M", "N[", "N[N", "N]", "N[N]N", "L[N,N]", "N[]", "L[,N]"])
def test_what_is_no_tree_is_refused(text):
    with pytest.raises(ValueError):
        read(text)


def test_a_tree_has_a_vertex():
    with pytest.raises(ValueError, match="one vertex"):
        Tree(0, None)
    with pytest.raises(ValueError, match="at least 1"):
        trees(0)


def test_examples_in_the_docstrings():
    found = doctest.testmod(module)
    assert found.attempted and not found.failed


def test_children_are_written_small_ones_first_then_those_with_fewer_whites_on_top():
    assert str(read("N[N[N,N],L[N]]")) == "N[L[N],N[N,N]]"
    assert str(read("N[L[L],L[N],N[N]]")) == "N[N[N],L[N],L[L]]"
    assert str(read("N[L,N]")) == "N[N,L]"


def test_a_grove_begins_with_the_empty_forest():
    found = grove(3)
    assert found.first[:2] == [0, 0] and found.size[:2] == [0, 1]
    assert len(found.forests) == found.size[-1] == 1 + 2 + (4 + 3)


@pytest.mark.parametrize("parts", [(-1, ()), (-1, None), (0, None), (-2, (Tree(1, None),))])
def test_what_is_no_tree_is_not_made(parts):
    with pytest.raises(ValueError, match="at least one vertex"):
        Tree(*parts)
