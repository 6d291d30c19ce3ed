from __future__ import annotations

import pytest

from fouls.errors import ConfigError
from fouls.manifests.class_merge import merge_classes

NAMES = ("a", "b", "c", "d", "e", "f")


@pytest.mark.parametrize(
    ("merges", "names", "indices"),
    [
        ([], NAMES, (0, 1, 2, 3, 4, 5)),
        (["1,3,5"], ("a", "b+d+f", "c", "e"), (0, 1, 2, 1, 3, 1)),
        (["f, d,b"], ("a", "b+d+f", "c", "e"), (0, 1, 2, 1, 3, 1)),
        (["back=b,3", "e,f"], ("a", "back", "c", "e+f"), (0, 1, 2, 1, 3, 3)),
        (["a=a,b", "4,2"], ("a", "c+e", "d", "f"), (0, 0, 1, 2, 1, 3)),
    ],
)
def test_merges(merges: list[str], names: tuple[str, ...], indices: tuple[int, ...]) -> None:
    assert merge_classes(NAMES, merges) == (names, indices)


def test_an_index_may_be_a_name() -> None:
    """Where classes are called by numbers, the name counts."""
    assert merge_classes(("2", "0", "1"), ["0,1"]) == (("2", "0+1"), (0, 1, 1))


@pytest.mark.parametrize(
    ("merges", "expected"),
    [
        (["1,g"], "--merge 1,g: no class 'g'; there are 0 to 5: a, b, c, d, e, f"),
        (["1,6"], "--merge 1,6: no class '6'"),
        (["1"], "--merge 1: name two classes or more, each once"),
        (["1,b"], "--merge 1,b: name two classes or more, each once"),
        (["1,2", "2,3"], "--merge 2,3: class 'c' is merged already"),
        (["a=1,2"], "two classes are called the same: a, a, d, e, f"),
    ],
)
def test_merges_that_can_not_be(merges: list[str], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        merge_classes(NAMES, merges)
