from __future__ import annotations

import random
import re

import pytest

from fouls.cache.export.names import MAX_LENGTH, file_names


def test_plain_ids_keep_their_names() -> None:
    ids = ["v_01", "train/Surfing/v_01", "clip.mp4", "-x-", "ä b"]
    assert list(file_names(ids).values()) == ["v_01", "train-Surfing-v_01", "clip-mp4", "x", "b"]


@pytest.mark.parametrize(
    "video_id",
    [
        *("../../etc/passwd", "/etc/passwd", "..", ".", "", "~root", "C:\\x", "x" * 5000),
        *("a\0b", "a\nb", "a\x1b[2Jb", "\ud800", "\u202egpj.exe", "$(rm)"),
        *("con", "NUL", "COM1"),
    ],
)
def test_no_id_leads_out_of_the_folder(video_id: str) -> None:
    (name,) = file_names([video_id]).values()
    assert re.fullmatch(rf"[A-Za-z0-9_][A-Za-z0-9_-]{{0,{MAX_LENGTH - 1}}}", name)
    assert name.casefold() not in ("con", "nul", "com1")


def test_ids_that_would_share_a_name_get_a_digest_each() -> None:
    names = file_names(["a/b", "a-b", "A-B", "c"])
    assert names["c"] == "c"
    assert all(re.fullmatch(r"[aA]-[bB]-[0-9a-f]{16}", names[video_id]) for video_id in ("a/b", "a-b", "A-B"))
    assert len({name.casefold() for name in names.values()}) == 4


def test_no_two_names_are_one_even_for_ids_that_were_made_to_collide() -> None:
    ids = ["a/b", "a-b"]
    for _ in range(3):  # ids that are what the ones before were renamed to
        ids += [name for name in file_names(ids).values() if name not in ids]
    chance = random.Random(0)
    ids += ["".join(chance.choices("aA./-", k=3)) for _ in range(200)]
    ids = list(dict.fromkeys(ids))
    names = file_names(ids)
    assert len({name.casefold() for name in names.values()}) == len(ids)
    assert max(map(len, names.values())) <= MAX_LENGTH
