from __future__ import annotations

from pathlib import Path

import pytest

from fouls.errors import ManifestError
from fouls.manifests.class_names import ClassNames, are_numbers, encode_names, encode_numbers, read_class_names


def names_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "names.txt"
    path.write_bytes(text.encode())
    return path


def place(row: int) -> str:
    return f"f: line {row + 1}"


@pytest.mark.parametrize(
    ("text", "names", "numbers"),
    [
        ("run\njump\n", ("run", "jump"), {0: 0, 1: 1}),
        ("\ufeffrun\r\n\r\n jump ", ("run", "jump"), {0: 0, 1: 1}),
        ("0\tshaking body\r\n1\tsitting\r\n", ("shaking body", "sitting"), {0: 0, 1: 1}),
        ("2 run\n1 jump\n", ("jump", "run"), {1: 0, 2: 1}),
        ("3 point shot\ndunk\n", ("3 point shot", "dunk"), {0: 0, 1: 1}),
    ],
)
def test_read_class_names(tmp_path: Path, text: str, names: tuple[str, ...], numbers: dict[int, int]) -> None:
    classes = read_class_names(names_file(tmp_path, text))
    assert classes.names == names
    assert classes.numbers == numbers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\n", "no class names in it"),
        ("run\nrun\n", "class 'run' stands there 2 times"),
        ("0 run\n0 jump\n", "number '0' stands there 2 times"),
    ],
)
def test_class_names_that_are_wrong(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ManifestError, match=expected):
        read_class_names(names_file(tmp_path, text))


def test_no_file() -> None:
    with pytest.raises(ManifestError, match=r"nowhere\.txt: class names can't be read"):
        read_class_names(Path("nowhere.txt"))


def test_are_numbers() -> None:
    assert are_numbers(["0", "12", "-1", ""])
    assert not are_numbers(["0", "one"])


def test_numbers_without_names() -> None:
    assert encode_numbers(["3", "0", "", "-1"], None, place) == (("0", "1", "2", "3"), [3, 0, None, None])
    assert encode_numbers(["", "-1"], None, place) == ((), [None, None])
    with pytest.raises(ManifestError, match="f: line 2: label -2 is no class; allowed: 0 to 32767, -1 for no label"):
        encode_numbers(["0", "-2"], None, place)
    with pytest.raises(ManifestError, match="label 40000 is no class"):
        encode_numbers(["40000"], None, place)


def test_numbers_follow_the_numbering_of_the_names() -> None:
    classes = ClassNames(names=("a", "b"), numbers={1: 0, 2: 1}, source="names.txt")
    assert encode_numbers(["2", "1", "-1"], classes, place) == (("a", "b"), [1, 0, None])
    with pytest.raises(ManifestError, match=r"f: line 1: label 0 is no class; names\.txt has 2 classes, 1 to 2"):
        encode_numbers(["0"], classes, place)


def test_names() -> None:
    assert encode_names(["sit", "run", "", "sit"], None, place) == (("run", "sit"), [1, 0, None, 1])
    classes = ClassNames(names=("sit", "run"), numbers={0: 0, 1: 1}, source="names.txt")
    assert encode_names(["sit", "-1", "run"], classes, place) == (("sit", "run"), [0, None, 1])
    with pytest.raises(ManifestError, match=r"f: line 2: label 'fly' is none of the 2 classes of names\.txt"):
        encode_names(["sit", "fly"], classes, place)
